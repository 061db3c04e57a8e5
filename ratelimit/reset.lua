-- reset.lua: make a limit's buckets full, as if they had never been used, and end its
-- freeze.
--
-- KEYS[1]  {ns}:clock
-- ARGV     name, by and what for the log of edits ('' for not to be logged)
--
-- Returns 1, or -1 when there is no such limit.

use_limits()
local now, off = clock_read(KEYS[1])
local l = limit_load(ARGV[1], now)
if not l then
  return -1
end
for i = 1, #l.b do
  l.b[i][4], l.b[i][5] = 0, 0
end
l.b.frozen, l.keep, l.ask = 0, nil, nil
clock_write(KEYS[1], now, off)
limit_save(l)
if ARGV[2] ~= '' then
  log_edit(K.LIMIT .. l.name, now, ARGV[2], ARGV[3])
end
limit_announce(l, now)
return 1
