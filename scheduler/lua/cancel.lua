-- cancel.lua: end a task that waits or is scheduled; ask the worker of a running one.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, internal id
--
-- Returns the state the task was in: 'waiting', 'scheduled', 'running', or what ended
-- it before ('done', 'dead', ...): nothing changed; '' when there is no such task.

local name, id = ARGV[1], ARGV[2]
local state, worker = find_task(name, id)
if state == 'running' then
  redis.call('SADD', K.STOP .. worker, id)
  redis.call('PUBLISH', K.WAKE .. worker, 'stop ' .. id)
  return state
end
if state ~= 'waiting' and state ~= 'scheduled' then
  return state
end
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
local key = q.keys and (record_fields(redis.call('HGET', K.TASKS .. name, id))).k or nil
if state == 'scheduled' then
  redis.call('ZREM', K.LATER .. name, id)
  q.later = q.later - 1
else
  -- out of the list it goes when its turn comes: a search would cost O(tasks)
  if key then
    local k = keys_load(q, {key}, now)[1]
    if redis.call('ZREM', K.LANEFRONT .. name .. ':' .. key, id) == 1 then
      k.front = k.front - 1
      if k.front == 0 and redis.call('EXISTS', K.LANE .. name .. ':' .. key) == 0 then
        k.has = false -- it was the last of its key
      end
    else
      q.gone = q.gone + 1
    end
    keys_write(q, {k}, now) -- may have been its first: the next claim looks who is now
  elseif not key and redis.call('ZREM', K.FRONT .. name, id) == 1 then
    q.front = q.front - 1
  else
    q.gone = q.gone + 1
  end
  q.waiting = q.waiting - 1
  if q.waiting == 0 and not q.keys then
    redis.call('UNLINK', K.WAIT .. name)
    q.gone = 0
  end
end
redis.call('HSET', K.QUEUE .. name, 'later', q.later, 'waiting', q.waiting, 'front', q.front, 'gone', q.gone)
end_tasks(name, '', {{id = id, state = 'cancelled', text = ''}}, now)
local at = place_queue(q, now)
clock_write(KEYS[1], now, off)
announce(q, at, now)
return state
