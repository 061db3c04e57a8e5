-- discard.lua: make an end of a queue.

-- discard_queue drops a queue with all that is left of it: its history, which the
-- caller has shortened, and running tasks, whose outcomes will find nothing.
local function discard_queue(q)
  local name = q.name
  local v = redis.call('HMGET', K_QUEUE .. name, 'own', 'no')
  if v[1] then
    local ids = redis.call('HKEYS', K_TASKS .. name)
    for i = 1, #ids, 500 do
      forget_tasks(name, true, {unpack(ids, i, math.min(i + 499, #ids))})
    end
  end
  if q.place ~= '' then
    limit_leave(q.place, q.index, name)
  end
  for _, limit in ipairs(q.limits or {}) do
    redis.call('SREM', K_NAMED .. limit, name)
  end
  if q.keys then
    for _, key in ipairs(redis.call('HKEYS', K_KEYS .. name)) do
      redis.call('UNLINK', K_LANE .. name .. ':' .. key, K_LANEFRONT .. name .. ':' .. key)
    end
    for n in string.gmatch(keys_default(q).stale or '', '%S+') do
      redis.call('UNLINK', K_KEYSTALE .. name .. ':' .. n)
    end
    redis.call('UNLINK', K_KEYS .. name, K_KEYREADY .. name, K_KEYLATER .. name, K_KEYFULL .. name)
  end
  redis.call('ZREM', K_QUEUES, name)
  redis.call('ZREM', K_EXPIRE, name)
  redis.call('ZREM', K_DUE .. q.index, name)
  redis.call('HDEL', K_NUMBERS, v[2])
  redis.call('UNLINK', K_QUEUE .. name, K_TASKS .. name, K_WAIT .. name, K_FRONT .. name, K_LATER .. name,
    K_DEAD .. name, K_ENDED .. name, K_ENDS .. name)
end
