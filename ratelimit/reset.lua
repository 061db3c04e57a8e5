-- reset.lua: make a limit's bucket full, as if it had never been used.
--
-- KEYS[1]  {ns}:l:<name>
--
-- Returns 1, or -1 when there is no such limit.

if redis.call('HEXISTS', KEYS[1], 'rate') == 0 then
  return -1
end
redis.call('HDEL', KEYS[1], 'F', 'R')
return 1
