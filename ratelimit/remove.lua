-- remove.lua: remove a limit with its buckets.
--
-- KEYS[1]  {ns}:clock
-- ARGV     name, by and what for the log of edits ('' for not to be logged)
--
-- Returns {1}, {-1} no such limit, {-2, running, queues that name it ...} it is in use,
-- {-3, owner} a file declares it.

use_limits()
local name = ARGV[1]
local v = redis.call('HMGET', K.LIMIT .. name, 'rate', 'running', 'owner', 'undeclared')
if not v[1] then
  return {-1}
end
if v[3] and v[4] ~= '1' then
  return {-3, v[3]}
end
local queues = redis.call('SMEMBERS', K.NAMED .. name)
local running = tonumber(v[2]) or 0
if #queues > 0 or running > 0 then
  return {-2, running, unpack(queues, 1, math.min(#queues, 100))}
end
redis.call('ZREM', K.LIMITS, name)
redis.call('DEL', K.LIMIT .. name, K.STUCK .. name)
if ARGV[2] ~= '' then
  log_edit(nil, (clock_read(KEYS[1])), ARGV[2], ARGV[3])
end
return {1}
