-- outcome.lua: what becomes of tasks of one queue that are no longer running.
-- In front of settle.lua and of what reaps.

-- end_tasks moves tasks into the queue's bounded history. Each of list is
-- {id, state, text, start (as text)}; state is done, cancelled or expired.
local function end_tasks(name, worker, list, now)
  local v = redis.call('HMGET', K.QUEUE .. name, 'history', 'ended', 'own')
  local keep, ended, own = tonumber(v[1]) or 0, tonumber(v[2]) or 0, v[3]
  local skip = #list > keep and #list - keep or 0
  local drop, ends, ids = {}, {}, {}
  local at, by = string.format(' %d ', now), ' ' .. worker .. '\n'
  for i, t in ipairs(list) do
    if i <= skip then
      drop[#drop + 1] = t.id
    else
      ids[#ids + 1] = t.id
      ends[#ends + 1] = t.id
      ends[#ends + 1] = t.state .. at .. (t.start or 0) .. by .. t.text
    end
  end
  local over = ended + #ids - keep
  if over > 500 then
    over = 500 -- a history that was made shorter shrinks in steps
  end
  if over > 0 then
    local old = redis.call('LRANGE', K.ENDED .. name, 0, over - 1)
    if #old > 0 then
      redis.call('LTRIM', K.ENDED .. name, #old, -1)
      redis.call('HDEL', K.ENDS .. name, unpack(old))
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
    redis.call('RPUSH', K.ENDED .. name, unpack(ids))
    redis.call('HSET', K.ENDS .. name, unpack(ends))
  end
  redis.call('HSET', K.QUEUE .. name, 'ended', ended + #ids)
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

-- key_touched returns a key that changes: settle_queue writes it.
local function key_touched(q, name, now)
  local k = q.touched[name] or keys_load(q, {name}, now)[1]
  q.touched[name] = k
  return k
end

-- Made only where a task was charged more than a token of its queue.
local ended_limits, limits_ended

local function use_charges()
  if ended_limits then
    return
  end
  use_limits()
  use_corrections()

  -- place_load reads a limit, of one that was not read and has no cap only how many run,
  -- where few is all that is needed.
  local function place_load(name, few, now)
    if few and limits_read[name] == nil then
      local v = redis.call('HMGET', K.LIMIT .. name, 'rate', 'cap', 'running')
      if v[1] and (v[2] or '0') == '0' then
        return {cap = 0, running = tonumber(v[3]) or 0}
      end
    end
    return limit_load(name, now)
  end

  -- ended_limits books what one task leaves behind at the limits it was charged: its
  -- places, tokens of a start that was not (wasted), what it really cost, what upstream
  -- said. touched collects the named limits that changed, by name, and how many tasks were
  -- charged each set of them.
  function ended_limits(q, t, wasted, touched, now)
    local c = t.charge
    local sets = touched[1]
    if not sets then
      sets = {}
      touched[1] = sets
    end
    if sets[c.limits] then
      sets[c.limits] = sets[c.limits] + 1
    else
      sets[c.limits] = 1
      for name in pairs(c.limits) do
        local l = not touched[name] and place_load(name, q.few, now)
        if l then
          touched[name] = {l = l, full = l.cap > 0 and (l.running >= l.cap or l.keep), counts = {}}
          touched[#touched + 1] = name
        end
      end
    end
    if wasted then
      for name, cost in pairs(c.limits) do
        local n = touched[name] and touched[name].counts
        if n then
          n.wasted = (n.wasted or 0) + cost
        end
      end
    end
    if c.place and t.key and q.keys then
      local k = key_touched(q, t.key, now)
      k.running = k.running - 1
    end
    if t.outcome ~= 'throttled' and not t.extra then
      return
    end
    local function of(name)
      if name == 'queue' then
        return c.queue > 0 and q, c.queue
      elseif name == 'key' then
        return t.key and q.keys and key_touched(q, t.key, now), c.key
      end
      return c.limits[name] and limit_load(name, now), c.limits[name]
    end
    if t.outcome == 'throttled' then
      local x = of(t.limit or 'queue') or q
      x.changed = true
      x.b.frozen = math.max(x.b.frozen, now + math.min(t.number, MAX_FREEZE))
    end
    for line in string.gmatch(t.extra or '', '[^\n]+') do
      local verb, name, rest = string.match(line, '^(%a) (%S+) ?(.*)$')
      local x, cost = of(name)
      if not c.limits[name] and name ~= 'queue' and name ~= 'key' then
        t.not_under = (t.not_under and t.not_under .. ' ' or '') .. name
      elseif x and verb ~= 'l' then
        x.changed = true
        local counts = name == 'queue' and q.counts or touched[name] and touched[name].counts or {}
        if verb == 'a' and cost > 0 then -- actual cost
          local diff = tonumber(rest) - cost
          if diff < 0 then
            -- a bucket cannot tell whether a credit finds room while starts lie ahead: none is
            -- granted ahead from now on, and until the last one it is lost
            local giver = limit_load(name, now) or q
            giver.gives = true
            if (giver == q and q.upto or giver.ahead) <= now then
              buckets_credit(x.b, -diff, now)
              counts.credited = (counts.credited or 0) - diff
            end
          elseif diff > 0 then
            local cut = buckets_owe(x.b, diff, x.debt or 0, now)
            counts.owed = (counts.owed or 0) + diff - cut
            counts.cut = (counts.cut or 0) + cut
          end
        elseif verb == 'r' then -- upstream's report
          local left, reset = string.match(rest, '^(%d+) (%d+)$')
          buckets_lower(x.b, tonumber(left), now)
          if left == '0' then
            x.b.frozen = math.max(x.b.frozen, now + math.min(tonumber(reset), MAX_FREEZE))
          end
        end
      end
    end
  end

  -- limits_ended writes the named limits that a batch touched; where one had no room before
  -- or its buckets changed, those that wait there are told.
  function limits_ended(touched, now)
    for set, n in pairs(touched[1] or {}) do
      for name in pairs(set) do
        local x = touched[name]
        if x then
          x.l.running = x.l.running - n
        end
      end
    end
    for i = 2, #touched do
      local name = touched[i]
      local x = touched[name]
      x.l.gave = x.l.gave or x.l.gives
      if x.l.changed then
        limit_save(x.l)
      else
        redis.call('HSET', K.LIMIT .. name, 'running', string.format('%d', x.l.running))
      end
      for field, n in pairs(x.counts) do
        redis.call('HINCRBY', K.LIMIT .. name, field, n)
      end
      if x.full or x.l.changed then
        x.l.changed = nil
        limit_announce(x.l, now)
      end
    end
  end
end

-- never_started tells whether what a task was granted is wasted.
local function never_started(t)
  return t.outcome == 'postponed' or t.number == 1 and (t.outcome == 'back' or t.outcome == 'cancelled')
end

-- settle_queue applies the outcomes of one queue's tasks; their leases are gone
-- already. Each of batch is {id, outcome, number, text, extra, limit, start, seq, charge, key}.
local function settle_queue(name, worker, batch, now)
  local q = load_queue(name, now)
  if not q then -- the queue was removed while they ran
    q = {name = name, b = rates_read(''), gone_queue = true}
  end
  local v = redis.call('HMGET', K.QUEUE .. name, 'attempts', 'retry_min', 'retry_max', 'jitter', 'done', 'failed', 'dead', 'wasted', 'no', 'debt')
  local no, touched = tonumber(v[9]), {}
  local mine, number = {}, no and string.format('-%x', no)
  q.counts, q.touched, q.debt = {}, {}, tonumber(v[10]) or 0
  q.few = true
  for _, t in ipairs(batch) do
    if t.extra or t.outcome == 'throttled' then
      q.few = false -- buckets change
    end
  end
  for _, t in ipairs(batch) do
    if not q.gone_queue and (not number or string.sub(t.id, 14) == number) then
      mine[#mine + 1] = t
    else -- of a queue that was removed while it ran
      local unused = never_started(t)
      t.key, t.extra, t.outcome = nil, nil, ''
      use_charges()
      ended_limits(q, t, unused, touched, now)
    end
  end
  batch = mine
  if #batch == 0 then
    if touched[1] then
      limits_ended(touched, now)
    end
    return
  end
  if q.keys then -- all at once
    local names = {}
    for _, t in ipairs(batch) do
      names[#names + 1] = t.charge.place and t.key or nil
    end
    keys_load(q, names, now)
  end
  local was_full = full_cap(q)
  -- settings that cannot be read: no retry; the task is dead, which loses nothing
  local min, max, jitter = tonumber(v[2]), tonumber(v[3]), tonumber(v[4])
  local most, dead = min and max and jitter and tonumber(v[1]) or 0, tonumber(v[7]) or 0
  local done, failed, wasted = tonumber(v[5]) or 0, tonumber(v[6]) or 0, tonumber(v[8]) or 0
  local ends, back, later, died, recs, other = {}, {}, {}, {}, {}, {}
  for _, t in ipairs(batch) do
    local o, unused = t.outcome, never_started(t)
    if o == 'done' then
      done = done + 1
      t.state = 'done'
      ends[#ends + 1] = t
    elseif o == 'cancelled' then
      t.state = 'cancelled'
      ends[#ends + 1] = t
    elseif o == 'back' then
      back[#back + 1] = t
    elseif o == 'postponed' then
      later[#later + 1] = now + t.number
      later[#later + 1] = t.id
    else
      other[#other + 1] = t
    end
    if unused then
      wasted = wasted + t.charge.queue
    end
    if t.charge.queue == 0 then
      q.exempt = q.exempt - 1
    end
    if t.charge ~= ONE_TOKEN or t.extra or o == 'throttled' then
      use_charges()
      ended_limits(q, t, unused, touched, now)
    end
  end
  -- the outcomes below are kept in the task's record
  for _, t in ipairs(other) do
    local rec = redis.call('HGET', K.TASKS .. name, t.id)
    if rec then
      local f = record_fields(rec)
      local set, o = {w = worker, s = tostring(t.start or 0)}, t.outcome
      if o == 'throttled' then
        set.T = (tonumber(f.T) or 0) + 1
        if set.T > MAX_THROTTLES then
          o, t.number, set.T = 'failed', 0, ''
        end
      end
      if t.text ~= '' then
        set.e = t.text
      end
      if o == 'throttled' then
        back[#back + 1] = t
      elseif o == 'crashed' then
        set.c = (tonumber(f.c) or 0) + 1
        if set.c >= t.number then
          failed = failed + 1
          died[#died + 1] = now
          died[#died + 1] = t.id
        else
          back[#back + 1] = t
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
    redis.call('HSET', K.TASKS .. name, unpack(recs))
  end
  if #ends > 0 then
    end_tasks(name, worker, ends, now)
  end
  if #back > 0 then
    if q.keys then
      for _, t in ipairs(back) do
        t.key = t.key or ''
        key_touched(q, t.key, now)
      end
      keys_back(q, back, now)
    else
      local front = {}
      for _, t in ipairs(back) do
        front[#front + 1] = t.seq
        front[#front + 1] = t.id
      end
      redis.call('ZADD', K.FRONT .. name, unpack(front))
      q.front = q.front + #back
    end
  end
  if #later > 0 then
    redis.call('ZADD', K.LATER .. name, unpack(later))
  end
  if #died > 0 then
    redis.call('ZADD', K.DEAD .. name, unpack(died))
  end
  local free = false -- a key that had no room may have some
  if q.keys then
    local list = {}
    for _, k in pairs(q.touched) do
      free = free or k.place == 'f' or k.changed
      list[#list + 1] = k
    end
    if #list > 0 then
      keys_write(q, list, now)
    end
    sweep_keys(2 * #batch, now, load_queue) -- no less than may come to it
  end
  q.running = q.running - #batch
  q.waiting = q.waiting + #back
  q.later = q.later + #later / 2
  redis.call('HSET', K.QUEUE .. name, 'running', q.running, 'done', done, 'wasted', wasted, 'exempt', q.exempt, 'used', string.format('%d', now))
  if #ends < #batch then
    redis.call('HSET', K.QUEUE .. name, 'waiting', q.waiting, 'front', q.front, 'later', q.later, 'dead', dead + #died / 2, 'failed', failed)
  end
  if q.gives and not q.gave then
    redis.call('HSET', K.QUEUE .. name, 'dear', 2)
    if not q.dear then
      redis.call('HSET', K.QUEUE .. name, 'starts', string.format('%d', q.spent))
    end
  end
  if q.changed then
    redis.call('HSET', K.QUEUE .. name, 'frozen', string.format('%d', q.b.frozen), queue_bucket(q))
    for field, n in pairs(q.counts) do
      redis.call('HINCRBY', K.QUEUE .. name, field, n)
    end
  end
  if touched[1] then
    limits_ended(touched, now)
  end
  if #ends < #batch or was_full or free or q.changed then
    announce(q, place_queue(q, now), now)
  end
end
