-- wake.lua: who is told that there is work. Hints only: a lost one costs at most
-- the fall-back interval of the workers' ticks.

-- wake_one tells the worker that became idle last, of those that wait for this
-- index. Entries of workers that no longer listen are dropped on the way.
local function wake_one(index)
  for _ = 1, 8 do
    local w = redis.call('ZPOPMAX', K_IDLE .. index)
    if #w == 0 then
      return
    end
    if redis.call('PUBLISH', K_WAKE .. w[1], 'work') > 0 then
      return
    end
  end
end

-- appointment returns the instant at which some worker has been told to come back
-- for this index, and which one; 0 when there is none or it has been missed.
local function appointment(index, now)
  local v = redis.call('HGET', K_APPOINTMENTS, index)
  if not v then
    return 0, ''
  end
  local at, worker = string.match(v, '^(%d+) (.*)$')
  at = tonumber(at)
  if at + 50000 < now then
    return 0, ''
  end
  return at, worker
end

-- announce makes sure that somebody comes for work that is there at the instant t.
local function announce(index, t, now)
  if t > now then
    local at = appointment(index, now)
    if at > 0 and at <= t + 1000 then
      return
    end
  end
  wake_one(index)
end
