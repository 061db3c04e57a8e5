-- remove.lua: drop a queue that holds nothing but running tasks and history, which
-- purge.lua has shortened before.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, force ('1': whatever is running or came in meanwhile goes too)
--
-- Returns {1}, {0} no such queue, {-1, owner} a file declares it, {-2, waiting,
-- scheduled, running, dead} not empty.

local name, force = ARGV[1], ARGV[2] == '1'
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
if not q then
  return {0}
end
local v = redis.call('HMGET', K.QUEUE .. name, 'owner', 'undeclared', 'dead')
if v[1] and v[2] ~= '1' then
  return {-1, v[1]}
end
local dead = tonumber(v[3]) or 0
if not force and q.waiting + q.later + q.running + dead > 0 then
  return {-2, q.waiting, q.later, q.running, dead}
end
clock_write(KEYS[1], now, off)
discard_queue(q, now)
return {1}
