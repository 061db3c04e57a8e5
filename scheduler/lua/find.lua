-- find.lua: the state of one task. Workers are looked through one by one: for people
-- and tests, not for a hot path.

-- find_task returns the state and, of a running task, its worker and its lease.
local function find_task(name, id)
  if redis.call('HEXISTS', K.TASKS .. name, id) == 0 then
    return ''
  end
  local ended = redis.call('HGET', K.ENDS .. name, id)
  if ended then
    return string.match(ended, '^%a+'), ended
  end
  if redis.call('ZSCORE', K.LATER .. name, id) then
    return 'scheduled'
  end
  if redis.call('ZSCORE', K.DEAD .. name, id) then
    return 'dead'
  end
  for _, w in ipairs(redis.call('ZRANGE', K.WORKERS, 0, -1)) do
    local run = redis.call('HGET', K.RUN .. w, id)
    if run then
      return 'running', w, run
    end
  end
  return 'waiting'
end
