-- wake.lua: who is told that there is work. These are hints: a lost one costs at most
-- the fall-back interval of the workers' ticks.

-- An index is pool:handler. A worker that serves one queue only waits under
-- pool:handler=queue, and is told when nobody waits for the whole index.

-- wake_one tells the worker that became idle last, of those that wait for this
-- index. Entries of workers that no longer listen are dropped on the way. True when
-- somebody was told.
local function wake_one(index)
  for _ = 1, 8 do
    local w = redis.call('ZPOPMAX', K.IDLE .. index)
    if #w == 0 then
      return false
    end
    if redis.call('PUBLISH', K.WAKE .. w[1], 'work') > 0 then
      return true
    end
  end
  return false
end

-- wake_for tells somebody who may take a task of this queue.
local function wake_for(index, queue)
  return wake_one(index) or wake_one(index .. '=' .. queue)
end

-- appointment returns the instant at which some worker has been told to come back
-- for this index, and which one; 0 when there is none, or it has passed: whoever came
-- then may have found nothing to come back for.
local function appointment(index, now)
  local v = redis.call('HGET', K.APPOINTMENTS, index)
  if not v then
    return 0, ''
  end
  local at, worker = string.match(v, '^(%d+) (.*)$')
  at = tonumber(at)
  if at < now then
    return 0, ''
  end
  return at, worker
end

-- announce_at makes sure that somebody comes at the instant t for work of an index, of
-- which this queue is the first.
local function announce_at(index, queue, t, now)
  if t > now then
    for _, ix in ipairs({index, index .. '=' .. queue}) do
      local at = appointment(ix, now)
      if at > 0 and at <= t + 1000 then
        return
      end
    end
  end
  wake_for(index, queue)
end
