-- next.lua: who comes for the work that an index has after a claim. Behind wake.lua.

-- head returns the first entry that a worker of this index may take from, and its
-- instant; nil, 0 when there is none.
local function head(index)
  local base, only = string.match(index, '^([^=]*)=?(.*)$')
  if only ~= '' then
    local entry = only
    local t = redis.call('ZSCORE', K.DUE .. base, only)
    if not t then
      local place = redis.call('HGET', K.QUEUE .. only, 'place')
      if place and place ~= '' then
        entry = '@' .. place
        t = redis.call('ZSCORE', K.DUE .. base, entry)
      end
    end
    return t and entry, t and tonumber(t) or 0, base
  end
  local first = redis.call('ZRANGE', K.DUE .. base, 0, 0, 'WITHSCORES')
  return first[1], first[2] and tonumber(first[2]) or 0, base
end

-- wake_entry tells somebody who may take from this entry of a due index.
local function wake_entry(base, entry)
  if string.byte(entry, 1) == 64 then
    entry = redis.call('ZRANGE', K.WAITERS .. string.sub(entry, 2) .. ':' .. base, 0, 0)[1] or ''
  end
  wake_for(base, entry)
end

-- come_next settles who comes next, for a worker that has this many slots of the index
-- left: {idle, next, mine} of the claim's reply. due is an entry that is known to be due.
local function come_next(worker, index, slots, now, due)
  local entry, next, base = due, now, index
  if not due then
    entry, next, base = head(index)
  end
  local idle, mine = 0, 0
  local at, who = appointment(index, now)
  if who == worker then -- kept, maybe early: what it was made for has been seen to
    redis.call('HDEL', K.APPOINTMENTS, index)
    at = 0
  end
  if next > 0 and next <= now then
    redis.call('ZREM', K.IDLE .. index, worker)
    wake_entry(base, entry)
  elseif slots > 0 then
    idle = 1
    redis.call('ZADD', K.IDLE .. index, now, worker)
    if next > 0 and (at == 0 or at > next + 1000) then
      mine = 1
      redis.call('HSET', K.APPOINTMENTS, index, string.format('%d %s', next, worker))
    end
  else
    redis.call('ZREM', K.IDLE .. index, worker)
    if next > 0 and at == 0 then
      wake_entry(base, entry) -- somebody else comes then
    end
  end
  return {idle, next, mine}
end
