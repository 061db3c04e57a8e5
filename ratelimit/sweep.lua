-- sweep.lua: drop the buckets that are full at the rates in force, one chunk of
-- limits. A bucket that is absent is full, so nothing is lost; the limits stay.
--
-- KEYS[1]  {ns}:clock
-- ARGV     the name after which to begin ("" at first), the number of limits to look at
--
-- Returns {dropped, last}: limits whose buckets were dropped, and the last name looked
-- at, "" at the end

use_limits()
use_corrections()
local min = '-'
if ARGV[1] ~= '' then
  min = '(' .. ARGV[1]
end
local names = redis.call('ZRANGEBYLEX', K.LIMITS, min, '+', 'LIMIT', 0, ARGV[2])
local now, off, stepped = clock_read(KEYS[1])
local full = {}
for _, name in ipairs(names) do
  local l = limit_load(name, now)
  if l and not l.b.till and buckets_text(l.b) ~= '' and buckets_whole(l.b) <= now then
    full[#full + 1] = l
  end
end

-- Full is so at this instant: were it not stored, TIME could step back behind it.
if #full > 0 or stepped > 0 then
  clock_write(KEYS[1], now, off)
end
for _, l in ipairs(full) do
  l.b = rates_read(l.b.rate)
  l.b.reverted = true
  limit_save(l)
end
local last = ''
if #names == tonumber(ARGV[2]) then
  last = names[#names]
end
return {#full, last}
