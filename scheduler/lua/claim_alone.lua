-- claim_alone.lua: takes from a queue that is alone in its index and at its limits, where all of
-- them have room for as many tasks as there are slots: what claim.lua would do, before what
-- it needs to decide between queues and instants is made. Put in front of the rest of it,
-- behind queue.lua. Where it is not so, nothing is changed and all is left to claim.lua.
-- Whether the limits have the tokens is asked first: mostly that is why it is not so.

do -- what is local to it counts no further: a script may have no more than 200

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

-- lone_keys returns likewise the first tasks of the first n keys, one of each, and their keys
-- as lists: those that are served, and for each whether it has another task; or nil, also
-- where no key would be left that may start.
local function lone_keys(q, n)
  local d = keys_default(q)
  if d.cap > 0 or d.counted or d.exceptions or d.stale
    or redis.call('ZRANGEBYSCORE', K.KEYLATER .. q.name, '-inf', string.format('%d', now), 'LIMIT', 0, 1)[1] then
    return nil
  end
  local ready = redis.call('ZRANGE', K.KEYREADY .. q.name, 0, n, 'WITHSCORES')
  local names, passes, ids, more, left = {}, {}, {}, {}, #ready > 2 * n
  if #ready < 2 * n then
    return nil
  end
  for i = 1, n do
    names[i], passes[i] = ready[2 * i - 1], ready[2 * i]
  end
  local keys, lane = keys_load(q, names, now, passes), K.LANE .. q.name .. ':'
  for i = 1, n do
    if keys[i].front > 0 or keys[i].place ~= 'r' then
      return nil
    end
    local two = redis.call('LRANGE', lane .. names[i], '0', '1')
    if not two[1] then
      return nil
    end
    ids[i], more[i] = two[1], two[2] and true or false
    left = left or more[i]
  end
  return left and ids, redis.call('HMGET', K.TASKS .. q.name, unpack(ids)), keys, more
end

-- key_turn debits a key for a task of a kind, and gives it its next turn; false where it may
-- not start now, or one that was served before goes first. What was found out for a key
-- holds for the next one in the same state.
local function key_turn(q, k, more, kind)
  local b, pass = k.b, k.pass
  local r = b[1]
  if pass > q.least then
    return false
  elseif kind.state and r and r[4] == kind.state and r[5] == kind.part and b.frozen == kind.frozen and not b[2] then
    r[4], r[5] = kind.full, kind.rest
  else
    if r then
      kind.state, kind.part, kind.frozen = r[4], r[5], b.frozen
    end
    if key_at(k, kind.key) > now then
      return false
    elseif kind.key > 0 then
      buckets_debit(b, now, kind.key)
    end
    kind.again = key_at(k, kind.key) <= now -- its next task is taken to cost as much until it is read
    if r then
      kind.full, kind.rest = r[4], r[5]
    end
  end
  if pass > q.vt then
    q.vt = pass
  end
  pass = q.vt + kind.step
  k.pass, k.has, k.at = pass, more, now
  if more and pass < q.least then
    q.least = pass
  end
  return kind.again or not more
end

-- lone_claim is the whole claim, or nil.
local function lone_claim()
  local n = slots
  local q, set = lone_queue(n)
  if not q then
    return nil
  end
  local ids, recs, keys, more
  if q.keys then
    q.least = math.huge
    ids, recs, keys, more = lone_keys(q, n)
  else
    ids, recs = lone_list(q, set, n)
  end
  if not ids then
    return nil
  end

  local room, granted, run, at = tonumber(ARGV[5]), {now}, {}, string.format(' %d ', now)
  local tail, kinds = string.format(' %d %s', number, q.name), {} -- tasks of equal costs, in one
  for i = 1, n do
    local rec = recs[i]
    local costs = q.dear and rec and task_costs(rec) or ONE_EACH
    local kind = kinds[costs]
    if not kind then
      local cost, own = task_cost(costs, 'key'), task_cost(costs, 'queue')
      kind = {n = 0, key = cost, tail = tail .. charge_text(q, costs, keys and ''),
        step = keys and math.max(1, math.floor(math.max(cost, own, 1) * 1000 / q.defaults.weight))}
      kinds[costs] = kind
    end
    kind.n = kind.n + 1
    room = room - (rec and #rec or math.huge)
    if room < 0 or keys and not key_turn(q, keys[i], more[i], kind) then
      return nil
    end
    granted[2 * i], granted[2 * i + 1] = ids[i], rec
    local lease = string.format('%d%s%d%s', fence + i - 1, at, q.seq + i, kind.tail)
    run[2 * i - 1], run[2 * i] = ids[i], keys and lease .. keys[i].name or lease
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
    local lane = K.LANE .. q.name .. ':'
    for i = 1, n do
      redis.call('LPOP', lane .. keys[i].name)
    end
    keys_write(q, keys, now)
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
  limit_place(limit_load(q.place, now), now)
  return {1, now + clock_passed(), fence, {come_next(worker, only, 0, now)}, {q.name, only, q.work, granted}, 0}
end

if due and slots > 0 and slots <= 100 then
  local alone = lone_claim()
  if alone then
    return alone
  end
end

end
