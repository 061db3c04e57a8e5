-- outcome.lua: what becomes of tasks of one queue that are no longer running.
-- In front of settle.lua and of what reaps.

-- end_tasks moves tasks into the queue's bounded history. Each of list is
-- {id, state, text, start}; state is done, cancelled or expired.
local function end_tasks(name, worker, list, now)
  local v = redis.call('HMGET', K_QUEUE .. name, 'history', 'ended', 'own')
  local keep, ended, own = tonumber(v[1]) or 0, tonumber(v[2]) or 0, v[3]
  local skip = #list > keep and #list - keep or 0
  local drop, ends, ids = {}, {}, {}
  for i, t in ipairs(list) do
    if i <= skip then
      drop[#drop + 1] = t.id
    else
      ids[#ids + 1] = t.id
      ends[#ends + 1] = t.id
      ends[#ends + 1] = string.format('%s %.0f %.0f %s\n%s', t.state, now, t.start or 0, worker, t.text)
    end
  end
  local over = ended + #ids - keep
  if over > 500 then
    over = 500 -- a history that was made shorter shrinks in steps
  end
  if over > 0 then
    local old = redis.call('LRANGE', K_ENDED .. name, 0, over - 1)
    if #old > 0 then
      redis.call('LTRIM', K_ENDED .. name, #old, -1)
      redis.call('HDEL', K_ENDS .. name, unpack(old))
      ended = ended - #old
      for i = 1, #old do
        drop[#drop + 1] = old[i]
      end
    end
  end
  if #drop > 0 then
    forget_tasks(name, own, drop)
  end
  if #ids > 0 then
    redis.call('RPUSH', K_ENDED .. name, unpack(ids))
    redis.call('HSET', K_ENDS .. name, unpack(ends))
  end
  redis.call('HSET', K_QUEUE .. name, 'ended', ended + #ids)
end

-- retry_delay is min * 2^(k-1), at most max, less a random part of the jitter.
local function retry_delay(min, max, jitter, k, random)
  local d = min
  for _ = 2, k do
    if d >= max then
      break
    end
    d = d * 2
  end
  if d > max then
    d = max
  end
  return d - math.floor(math.floor(d / 1000000 * jitter) * (random / 1000000))
end

-- settle_queue applies the outcomes of one queue's tasks; their leases are gone
-- already. Each of batch is {id, outcome, number, text, start, seq}.
local function settle_queue(name, worker, batch, now)
  local q = load_queue(name)
  if not q then
    return -- the queue was removed while they ran
  end
  local v = redis.call('HMGET', K_QUEUE .. name, 'attempts', 'retry_min', 'retry_max', 'jitter', 'done', 'failed', 'dead', 'wasted', 'no')
  local no = tonumber(v[9])
  local mine, number = {}, no and string.format('-%x', no)
  for _, t in ipairs(batch) do
    if not number or string.sub(t.id, 14) == number then -- else of a removed queue that had this name
      mine[#mine + 1] = t
    end
  end
  batch = mine
  -- settings that cannot be read: no retry; the task is dead, which loses nothing
  local min, max, jitter = tonumber(v[2]), tonumber(v[3]), tonumber(v[4])
  local most, dead = min and max and jitter and tonumber(v[1]) or 0, tonumber(v[7]) or 0
  local done, failed, wasted = tonumber(v[5]) or 0, tonumber(v[6]) or 0, tonumber(v[8]) or 0
  local ends, back, later, died, recs, other = {}, {}, {}, {}, {}, {}
  for _, t in ipairs(batch) do
    local o = t.outcome
    if o == 'done' then
      done = done + 1
      t.state = 'done'
      ends[#ends + 1] = t
    elseif o == 'cancelled' then
      wasted = wasted + t.number
      t.state = 'cancelled'
      ends[#ends + 1] = t
    elseif o == 'back' then
      wasted = wasted + t.number
      back[#back + 1] = t.seq
      back[#back + 1] = t.id
    elseif o == 'postponed' then
      wasted = wasted + 1
      later[#later + 1] = now + t.number
      later[#later + 1] = t.id
    else
      other[#other + 1] = t
    end
  end
  -- the outcomes below are kept in the task's record
  for _, t in ipairs(other) do
    local rec = redis.call('HGET', K_TASKS .. name, t.id)
    if rec then
      local f = record_fields(rec)
      local set, o = {w = worker, s = string.format('%.0f', t.start or 0)}, t.outcome
      if o == 'throttled' then
        local until_ = now + (t.number > MAX_FREEZE and MAX_FREEZE or t.number)
        if until_ > q.frozen then
          q.frozen = until_
        end
        set.T = (tonumber(f.T) or 0) + 1
        if set.T > MAX_THROTTLES then
          o, t.number, set.T = 'failed', 0, ''
        end
      end
      if t.text ~= '' then
        set.e = t.text
      end
      if o == 'throttled' then
        back[#back + 1] = t.seq
        back[#back + 1] = t.id
      elseif o == 'crashed' then
        set.c = (tonumber(f.c) or 0) + 1
        if set.c >= t.number then
          failed = failed + 1
          died[#died + 1] = now
          died[#died + 1] = t.id
        else
          back[#back + 1] = t.seq
          back[#back + 1] = t.id
        end
      else
        local k = (tonumber(f.a) or 0) + 1
        set.a = k
        failed = failed + 1
        if o == 'dead' or k >= most then
          died[#died + 1] = now
          died[#died + 1] = t.id
        else
          local d = t.number
          if o == 'failed' then
            d = retry_delay(min, max, jitter, k, t.number)
          end
          later[#later + 1] = now + d
          later[#later + 1] = t.id
        end
      end
      recs[#recs + 1] = t.id
      recs[#recs + 1] = record_with(rec, set)
    end
  end

  if #recs > 0 then
    redis.call('HSET', K_TASKS .. name, unpack(recs))
  end
  if #ends > 0 then
    end_tasks(name, worker, ends, now)
  end
  if #back > 0 then
    redis.call('ZADD', K_FRONT .. name, unpack(back))
  end
  if #later > 0 then
    redis.call('ZADD', K_LATER .. name, unpack(later))
  end
  if #died > 0 then
    redis.call('ZADD', K_DEAD .. name, unpack(died))
  end
  q.running = q.running - #batch
  q.front = q.front + #back / 2
  q.waiting = q.waiting + #back / 2
  q.later = q.later + #later / 2
  redis.call('HSET', K_QUEUE .. name, 'running', q.running, 'waiting', q.waiting, 'front', q.front, 'later', q.later,
    'dead', dead + #died / 2, 'done', done, 'failed', failed, 'wasted', wasted, 'frozen', q.frozen, 'used', now)
  if #ends < #batch then
    local t = index_queue(q, now)
    if t then
      announce(q, t, now)
    end
  end
end
