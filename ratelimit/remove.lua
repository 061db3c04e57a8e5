-- remove.lua: remove a limit with its bucket.
--
-- KEYS[1]  {ns}:l:<name>   KEYS[2]  {ns}:l, the index of names
-- ARGV[1]  name
--
-- Returns 1, or -1 when there is no such limit.

redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('DEL', KEYS[1]) == 0 then
  return -1
end
return 1
