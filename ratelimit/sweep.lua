-- sweep.lua: drop the buckets that are full at the rate in force, one chunk of
-- limits. A bucket that is absent is full, so nothing is lost; the limits stay.
--
-- KEYS[1]  {ns}:l, the index of names; a limit's key is this, ":" and its name
-- KEYS[2]  {ns}:clock
-- ARGV     the name after which to begin ("" at first), the number of limits to look at
--
-- Returns {dropped, last}: buckets dropped, and the last name looked at, "" at the end

local min = '-'
if ARGV[1] ~= '' then
  min = '(' .. ARGV[1]
end
local names = redis.call('ZRANGEBYLEX', KEYS[1], min, '+', 'LIMIT', 0, ARGV[2])
local now, off, stepped = clock_read(KEYS[2])
local full = {}
for _, name in ipairs(names) do
  local key = KEYS[1] .. ':' .. name
  local N, P, B, F, R = limit_read(key)
  if N and F > 0 and bucket_at(N, P, B, F, R, B) <= now then
    full[#full + 1] = key
  end
end

-- Full is so at this instant: were it not stored, TIME could step back behind it.
if #full > 0 or stepped > 0 then
  clock_write(KEYS[2], now, off)
end
for _, key in ipairs(full) do
  redis.call('HDEL', key, 'F', 'R')
end
local last = ''
if #names == tonumber(ARGV[2]) then
  last = names[#names]
end
return {#full, last}
