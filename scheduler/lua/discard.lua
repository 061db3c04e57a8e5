-- discard.lua: make an end of a queue.

-- discard_queue drops a queue with all that is left of it: its history, which the
-- caller has shortened, and running tasks, whose outcomes will find nothing.
local function discard_queue(q, now)
  local name = q.name
  local v = redis.call('HMGET', K.QUEUE .. name, 'own', 'no')
  if v[1] == '1' then
    local ids = redis.call('HKEYS', K.TASKS .. name)
    for i = 1, #ids, 500 do
      forget_tasks(name, '1', {unpack(ids, i, math.min(i + 499, #ids))})
    end
  end
  if q.place ~= '' then
    limit_leave(q.place, q.index, name, now, q.limits)
  end
  for _, limit in ipairs(q.limits or {}) do
    redis.call('SREM', K.NAMED .. limit, name)
    redis.call('SREM', K.STUCK .. limit, q.index .. ' ' .. name)
  end
  if q.keys then
    drop_keys(q)
  end
  redis.call('ZREM', K.QUEUES, name)
  redis.call('ZREM', K.EXPIRE, name)
  redis.call('ZREM', K.DUE .. q.index, name)
  redis.call('HDEL', K.NUMBERS, v[2])
  redis.call('UNLINK', K.QUEUE .. name, K.TASKS .. name, K.WAIT .. name, K.FRONT .. name, K.LATER .. name,
    K.DEAD .. name, K.ENDED .. name, K.ENDS .. name)
end
