-- take.lua: take n tokens from a limit, all or nothing.
--
-- KEYS[1]  {ns}:l:<name>   KEYS[2]  {ns}:clock
-- ARGV[1]  n, 1 or more
--
-- Returns {-1} when there is no such limit, else {granted, left, wait, now, capacity}
--   granted   1 when the n tokens were taken, else 0
--   left      whole tokens left
--   wait      µs until n tokens are there; 0 when granted, -1 never (n > capacity)
--   now       engine time, µs: the instant of the grant
--   capacity  the burst of the rate in force

local N, P, B, F, R = limit_read(KEYS[1])
if not N then
  return {-1}
end
local n = tonumber(ARGV[1])
local now, off, stepped = clock_read(KEYS[2])
local granted, wait = 0, -1
if n <= B then
  wait = bucket_at(N, P, B, F, R, n) - now
  if wait <= 0 then
    granted, wait = 1, 0
    F, R = bucket_debit(N, P, F, R, now, n)
  end
end
local left = bucket_left(N, P, B, F, R, now)

if granted == 1 or stepped > 0 then
  clock_write(KEYS[2], now, off)
end
if granted == 1 then
  limit_write(KEYS[1], F, R)
end
return {granted, left, wait, now, B}
