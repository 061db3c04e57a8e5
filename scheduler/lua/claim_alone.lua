-- claim_alone.lua: takes from a queue that is alone in its index and at its limits, where all of
-- them have room for as many tasks as there are slots: what claim.lua would do, before what
-- it needs to decide between queues and instants is made. Put in front of the rest of it,
-- behind queue.lua. Where it is not so, nothing is changed and all is left to claim.lua.
-- Whether the limits have the tokens is asked first: mostly that is why it is not so.

-- claim_alone is the whole claim, or nil. The others are in it, so that they are made only
-- where it may be so.
local function claim_alone()
  -- lone_queue returns the queue, and for each limit of its set {limit, tokens left}, its own
  -- first; or nil.
  local function lone_queue(n)
    if #due ~= 2 or tonumber(due[2]) > now or string.byte(due[1], 1) ~= 64 then
      return nil
    end
    use_limits()
    local place = string.sub(due[1], 2)
    local first = limit_load(place, now)
    if not first or (buckets_left(first.b, now) or n) < n then
      return nil
    end
    local waiters = redis.call('ZRANGE', K.WAITERS .. place .. ':' .. only, 0, 1)
    local q = #waiters == 1 and redis.call('SCARD', K.WAITED .. place) == 1 and load_queue(waiters[1], now)
    if not q or q.index ~= only or q.place ~= place or q.held or q.waiting <= n or q.later + q.front + q.gone + q.cap + q.moves > 0
      or q.gave or q.b.till or q.b.reverted or q.b.frozen > now or q.upto > now then
      return nil
    end
    -- of its own and where it waits a token is left: so it comes again at once, and where its
    -- next task has to wait elsewhere, that is found then
    local set = {{b = q.b, name = 'queue', cost = 0, left = (buckets_left(q.b, now) or math.huge) - 1}}
    for _, name in ipairs(q.limits) do
      local l = limit_load(name, now)
      if not l or l.cap > 0 or l.keep or l.ask or l.b.damaged or l.b.till or l.b.reverted or l.b.frozen > now
        or name ~= place and redis.call('SCARD', K.WAITED .. name) > 0 then
        return nil
      end
      set[#set + 1] = {b = l.b, l = l, name = name, cost = 0, left = (buckets_left(l.b, now) or math.huge) - (name == place and 1 or 0)}
    end
    return slowest(q, now) == place and q, set
  end

  -- lone_list returns the ids and records of the first n tasks of a list, or nil where the one
  -- behind may have to wait elsewhere.
  local function lone_list(q, set, n)
    local ids = redis.call('LRANGE', K.WAIT .. q.name, 0, n)
    if #ids <= n then
      return nil
    end
    local recs = redis.call('HMGET', K.TASKS .. q.name, unpack(ids))
    local behind = recs[n + 1] and task_costs(recs[n + 1])
    for i = 1, behind and #set or 0 do
      local cost = task_cost(behind, set[i].name)
      if cost == 0 then
        return nil
      elseif i == 1 then
        set[1].left = set[1].left + 1 - cost
      end
    end
    ids[n + 1] = nil
    return ids, recs
  end

  -- lone_keys returns likewise the first tasks of the first n keys, one of each, and of these
  -- keys: their names and lanes, what each was (one table for all in the same state)
  -- and whether it has another task; or nil, also where no key would be left that may start.
  local function lone_keys(q, n)
    local d, call = keys_default(q), redis.call
    if d.cap > 0 or d.counted or d.exceptions or d.stale
      or call('ZRANGEBYSCORE', K.KEYLATER .. q.name, '-inf', string.format('%d', now), 'LIMIT', 0, 1)[1] then
      return nil
    end
    local names = call('ZRANGE', K.KEYREADY .. q.name, 0, n)
    local was, more, lanes, ids, left = {}, {}, {}, {}, #names > n
    names[n + 1] = nil
    if #names < n then
      return nil
    end
    local states, alike, lane, passes = call('HMGET', K.KEYS .. q.name, unpack(names)), {}, K.LANE .. q.name .. ':', nil
    for i = 1, n do
      local state = states[i]
      if not state then
        passes = passes or call('ZMSCORE', K.KEYREADY .. q.name, unpack(names))
        state = passes[i]
      end
      local k = alike[state]
      if not k then
        k = key_read(d, names[i], states[i], nil, passes and passes[i], now)
        if k.front > 0 or k.place ~= 'r' then
          return nil
        end
        k.turns, alike[state] = {}, k
      end
      local key = lane .. names[i]
      local id = call('LINDEX', key, '0')
      if not id then
        return nil
      end
      was[i], lanes[i], ids[i], more[i] = k, key, id, call('LLEN', key) > 1 -- as a list of two it would cost more
      left = left or more[i]
    end
    return left and ids, call('HMGET', K.TASKS .. q.name, unpack(ids)), {names = names, was = was, more = more, lanes = lanes, turns = {}}
  end

  -- key_turn returns what becomes of a key when a task of a kind starts; nil where it may not
  -- start now, or a key that was served before it goes first.
  local function key_turn(q, k, more, kind)
    if k.pass > q.least then
      return nil
    elseif k.pass > q.vt then
      q.vt = k.pass
    end
    local turn = k.turns[kind]
    if not turn then -- keys come by pass: q.vt is the same for all in one state
      if key_at(k, kind.key) > now then
        return nil
      end
      turn = {pass = q.vt + kind.step, cap = k.cap, running = k.running, front = 0, b = buckets_copy(k.b)}
      if kind.key > 0 then
        buckets_debit(turn.b, now, kind.key)
      end
      turn.again = key_at(turn, kind.key) <= now -- its next task is taken to cost as much until it is read
      turn.whole, turn.score = buckets_whole(turn.b), string.format('%d', turn.pass)
      turn.some, turn.none = key_state(q.defaults, turn, 'r', turn.whole, now), key_state(q.defaults, turn, '-', turn.whole, now)
      k.turns[kind] = turn
    end
    if more and turn.pass < q.least then
      q.least = turn.pass
    end
    return (turn.again or not more) and turn
  end

  -- lone_write stores the keys after their turns.
  local function lone_write(q, keys)
    local x, names, more, r, s = keys_changes(), keys.names, keys.more, 0, 0
    local ready, states = x.ready, x.states
    for i = 1, #names do
      local name, turn, state = names[i], keys.turns[i], nil
      if more[i] then
        ready[r + 1], ready[r + 2], state = turn.score, name, turn.some
        r = r + 2
      else
        x.r[#x.r + 1], state = name, turn.none
      end
      if state then
        states[s + 1], states[s + 2] = name, state
        s = s + 2
        if not more[i] and turn.running == 0 then
          x.sweep[#x.sweep + 1], x.sweep[#x.sweep + 2] = string.format('%d', turn.whole), q.name .. ':' .. name
        end
      elseif keys.was[i].known then
        x.gone[#x.gone + 1] = name
      end
    end
    keys_store(q, x, #names)
  end

  local n, format = slots, string.format
  local q, set = lone_queue(n)
  if not q then
    return nil
  end
  local ids, recs, keys
  if q.keys then
    q.least = math.huge
    ids, recs, keys = lone_keys(q, n)
  else
    ids, recs = lone_list(q, set, n)
  end
  if not ids then
    return nil
  end

  -- of a kind are tasks of equal costs: their leases differ in fence, turn and key, in which no
  -- byte is zero, where a format would end
  local room, granted, run, kinds = tonumber(ARGV[5]), {now}, {}, {}
  for i = 1, n do
    local rec, name = recs[i], ''
    local costs = q.dear and rec and task_costs(rec) or ONE_EACH
    local kind = kinds[costs]
    if not kind then
      local cost, own = task_cost(costs, 'key'), task_cost(costs, 'queue')
      kind = {n = 0, key = cost, lease = format('%%d %d %%d %d %s%s%%s', now, number, q.name, charge_text(q, costs, keys and '')),
        step = keys and math.max(1, math.floor(math.max(cost, own, 1) * 1000 / q.defaults.weight))}
      kinds[costs] = kind
    end
    kind.n = kind.n + 1
    room = room - (rec and #rec or math.huge)
    if room < 0 then
      return nil
    elseif keys then
      local turn = key_turn(q, keys.was[i], keys.more[i], kind)
      if not turn then
        return nil
      end
      keys.turns[i], name = turn, keys.names[i]
    end
    granted[2 * i], granted[2 * i + 1] = ids[i], rec
    run[2 * i - 1], run[2 * i] = ids[i], format(kind.lease, fence + i - 1, q.seq + i, name)
  end
  for costs, kind in pairs(kinds) do
    for _, x in ipairs(set) do
      local cost = task_cost(costs, x.name)
      x.cost = x.cost + cost * kind.n
      if cost == 0 or x.cost > x.left then
        return nil
      end
    end
  end

  if keys then
    for i = 1, n do
      redis.call('LPOP', keys.lanes[i])
    end
    lone_write(q, keys)
  else
    redis.call('LTRIM', K.WAIT .. q.name, n, -1)
  end
  lease_write(run)
  claim_write(fence + n)
  for _, x in ipairs(set) do
    buckets_debit(x.b, now, x.cost)
    if x.l then
      x.l.running, x.l.spent = x.l.running + n, x.l.spent + x.cost
      limit_charge(x.l)
      if x.l.stored.head ~= '' then
        redis.call('HSET', K.LIMIT .. x.name, 'head', '')
      end
    end
  end
  q.waiting, q.running, q.seq, q.spent = q.waiting - n, q.running + n, q.seq + n, q.spent + set[1].cost
  q.upto, q.turn = now, fence + n - 1
  save_counts(q, n, 0)
  limit_wait(q.place, only, q.name, q.turn, true)
  redis.call('ZADD', K.DUE .. only, format('%d', now), due[1]) -- where it waits a token is left
  local first = slots + tonumber(ARGV[7]) > 1 and due[1] or nil -- nothing else is due, where claim_plain.lua looked for two
  return {1, now + clock_passed(), fence, {come_next(worker, only, 0, now, first)}, {q.name, only, q.work, granted}, 0}
end

if due and slots > 0 and slots <= 100 then
  local alone = claim_alone()
  if alone then
    return alone
  end
end
