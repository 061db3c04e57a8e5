-- set.lua: create a limit, or change its rate. A new limit's bucket is full; at a
-- change the bucket is carried over: no token appears retroactively, none is lost but
-- the fraction of one and what the new capacity cannot hold.
--
-- KEYS[1]  {ns}:l:<name>   KEYS[2]  {ns}:clock   KEYS[3]  {ns}:l, the index of names
-- ARGV     name, N, P in µs, B
--
-- Returns {what, at}
--   what  1 created, 2 changed, 0 was so already
--   at    the engine time from which the rate holds (µs); later than now when tokens
--         had been taken ahead

local name, N2, P2, B2 = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local N, P, B, F, R = limit_read(KEYS[1])
local now, off = clock_read(KEYS[2])
if N == N2 and P == P2 and B == B2 then
  return {0, now}
end
local what, at = 1, now
if N then
  what = 2
  F, R, at = bucket_change(N, P, B, F, R, now, N2, P2, B2)
end

clock_write(KEYS[2], now, off)
redis.call('ZADD', KEYS[3], 0, name)
redis.call('HSET', KEYS[1], 'rate', string.format('%.0f %.0f %.0f', N2, P2, B2))
if what == 2 then
  limit_write(KEYS[1], F, R)
end
return {what, at}
