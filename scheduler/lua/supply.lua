-- supply.lua: the tasks of a queue during a claim, first to last, read in chunks and in
-- memory only; save_supply writes what was taken. In front of claim.lua.

-- How much a claim may still read and give out; it is shared by all of them.
local claim = {room = 0, promotions = 100, total = 0}

-- A buffer is four lists: ids, recs (false for one that was cancelled while it waited), seqs
-- (the first turn of those given back) and costs (once they were asked for; false: all 1).

-- read_records returns the records of tasks; false for one that was cancelled.
local function read_records(q, ids)
  local recs
  if q.gone > 0 then
    local ended, live, at = redis.call('HMGET', K.ENDS .. q.name, unpack(ids)), {}, {}
    for i = 1, #ids do
      if not ended[i] then
        live[#live + 1] = ids[i]
        at[i] = #live
      end
    end
    local got = #live > 0 and redis.call('HMGET', K.TASKS .. q.name, unpack(live)) or {}
    recs = {}
    for i = 1, #ids do
      recs[i] = at[i] and got[at[i]] or false
    end
  else
    recs = redis.call('HMGET', K.TASKS .. q.name, unpack(ids))
  end
  local largest = q.seen and q.largest or 0
  for i = 1, #recs do
    local rec = recs[i]
    if rec and #rec > largest then
      largest = #rec
    end
  end
  q.largest, q.seen = largest, true
  return recs
end

-- how_many bounds a read by what may be granted.
local function how_many(q, n, by)
  local want = math.min(n, math.max(1, math.floor(claim.room / (q.largest + 1))))
  if not q.dear then
    local left = buckets_left(q.b, by)
    if left then
      want = math.min(want, math.max(1, left))
    end
  end
  return want
end

-- current makes the next task of a buffer the queue's current one, or passes over it when it
-- is gone; from is what counts where the buffer stands: the queue itself, or the lane.
local function current(q, buffer, from)
  local i = from.at_task
  local rec = buffer.recs[i]
  if rec then
    local t, costs = q.task, nil
    if q.dear then
      costs = buffer.costs[i]
      if costs == nil then
        costs = task_costs(rec) or false
        buffer.costs[i] = costs
      end
    end
    t.id, t.rec, t.seq, t.key, t.costs = buffer.ids[i], rec, buffer.seqs[i], nil, costs or nil
    return t
  end
  from.at_task = i + 1
  q.gone = q.gone - 1
  if buffer.seqs[i] then
    from.took_front = from.took_front + 1
  else
    from.took_list = from.took_list + 1
  end
end

-- next_task returns the first task that is left in the queue's list, or nil.
local function next_task(q, n, by)
  local buffer = q.buffer
  while true do
    if q.at_task <= #buffer.ids then
      local t = current(q, buffer, q)
      if t then
        return t
      end
    else
      if q.drained or q.waiting == 0 or q.took_list > 1000 then
        return nil
      end
      local want = how_many(q, n, by)
      local ids = {}
      if q.front > q.read_front then
        local back = redis.call('ZRANGE', K.FRONT .. q.name, q.read_front, q.read_front + want - 1, 'WITHSCORES')
        for i = 1, #back, 2 do
          ids[#ids + 1] = back[i]
          buffer.seqs[#buffer.ids + #ids] = tonumber(back[i + 1])
        end
      end
      local back = #ids
      q.read_front = q.read_front + back
      if back < want then
        local read = want - back + math.min(q.gone, 100)
        local list = redis.call('LRANGE', K.WAIT .. q.name, q.read_list, q.read_list + read - 1)
        q.read_list = q.read_list + #list
        q.drained = #list < read
        if back == 0 then
          ids = list
        else
          for i = 1, #list do
            ids[back + i] = list[i]
          end
        end
      end
      if #ids == 0 then
        return nil
      end
      local n = #buffer.ids
      for i, rec in ipairs(read_records(q, ids)) do
        buffer.ids[n + i], buffer.recs[n + i] = ids[i], rec
      end
    end
  end
end

-- The lanes of keys; made only where a queue has them.
local lane_read, lane_task, lane_trim, ring_add, ring_read, key_aside, key_take, next_key
local NONE = {}
local LOOK_AGAIN = 60000000 -- µs, at what cannot start as its limits are set

local function use_lanes()
  if lane_read then
    return
  end
  local call, remove, floor, texts = redis.call, table.remove, math.floor, {}

  -- text is that of a small number, made once: a command makes one of each number it is given.
  local function text(n)
    local t = texts[n]
    if not t then
      t = string.format('%d', n)
      texts[n] = t
    end
    return t
  end

  -- lane_trim drops what was taken of a key's lane.
  function lane_trim(q, k)
    local lane = k.lane
    if lane.took_front > 0 then
      call('ZREMRANGEBYRANK', K.LANEFRONT .. q.name .. ':' .. k.name, 0, lane.took_front - 1)
      k.front = k.front - lane.took_front
    end
    if lane.took_list > 0 then
      call('LTRIM', K.LANE .. q.name .. ':' .. k.name, text(lane.took_list), '-1')
    end
    return lane.took_front + lane.took_list > 0
  end

  -- lane_read reads the next n tasks of keys, all records at once, and the id of one more:
  -- so it is known whether there is one.
  function lane_read(q, list, n)
    local ids, total, lanes, min = {}, 0, K.LANE .. q.name .. ':', math.min
    for j = 1, #list do
      local k = list[j]
      local lane = k.lane
      if not lane then
        lane = {ids = {}, recs = {}, seqs = NONE, costs = {}, at_task = 1, took_front = 0, took_list = 0, read_front = 0, read_list = 0,
          drained = false}
        k.lane = lane
      end
      local mine, have = lane.ids, #lane.recs
      local want = n + 1 - (#mine - have)
      if want > 0 and k.front > lane.read_front then
        local back = redis.call('ZRANGE', K.LANEFRONT .. q.name .. ':' .. k.name, lane.read_front, lane.read_front + want - 1, 'WITHSCORES')
        lane.seqs = lane.seqs == NONE and {} or lane.seqs
        for i = 1, #back, 2 do
          mine[#mine + 1] = back[i]
          lane.seqs[#mine] = tonumber(back[i + 1])
        end
        lane.read_front, want = lane.read_front + #back / 2, want - #back / 2
      end
      if want > 0 and not lane.drained then
        local more = call('LRANGE', lanes .. k.name, text(lane.read_list), text(lane.read_list + want - 1))
        lane.read_list = lane.read_list + #more
        lane.drained = #more < want
        if #mine == 0 then
          lane.ids, mine = more, more
        else
          for i = 1, #more do
            mine[#mine + 1] = more[i]
          end
        end
      end
      for i = have + 1, min(#mine, have + n) do
        total = total + 1
        ids[total] = mine[i]
      end
    end
    local recs, at = ids, 0
    if total > 1000 then -- unpack takes no more than 8,000
      recs = {}
      for from = 1, total, 1000 do
        for _, rec in ipairs(read_records(q, {unpack(ids, from, min(from + 999, total))})) do
          recs[#recs + 1] = rec
        end
      end
    elseif total > 0 then
      recs = read_records(q, ids)
    end
    for j = 1, #list do
      local lane = list[j].lane
      local have = #lane.recs
      for i = have + 1, min(#lane.ids, have + n) do
        at = at + 1
        lane.recs[i] = recs[at]
      end
    end
  end

  -- lane_task returns the first task that is left of a key, or nil.
  function lane_task(q, k)
    local lane = k.lane
    while true do
      if lane.at_task <= #lane.recs then
        local t = current(q, lane, lane)
        if t then
          return t
        end
      elseif lane.drained and #lane.recs == #lane.ids or lane.took_list > 1000 then
        return nil -- or so many were cancelled that the next claim goes on
      else
        lane_read(q, {k}, lane.took_list > 8 and 100 or 8)
      end
    end
  end

  -- ring_add puts a key where it may be served: among the ready ones, by pass, or among
  -- those that come soon, by instant. cost is what its last task cost, where one was taken:
  -- when the next one is not read yet, it is taken to cost as much until its turn comes. When
  -- it does not, and costs more than there is, the next claim finds it so.
  function ring_add(q, k, now, cost)
    local lane = k.lane
    local ready = cost and lane.at_task > #lane.recs and lane.at_task <= #lane.ids and q.gone == 0 and key_at(k, cost)
    q.moved[k.name] = k
    if ready and (ready <= now or not q.dear) then
      k.has, k.at, k.unread = true, ready, true
    else
      local t = lane_task(q, k)
      k.has = t ~= nil or not lane.drained
      if not t then
        k.at = now
        return
      end
      k.at = key_at(k, t.costs and task_cost(t.costs, 'key') or 1)
    end
    if k.at >= NEVER then
      return
    elseif k.place ~= 'r' and k.pass < q.vt then -- it comes back: what it missed while it was blocked is gone
      k.pass = q.vt
    end
    local list, by = q.ring, 'pass'
    if k.at > now then
      list, by = q.soon, 'at'
    end
    local i, score = #list, k[by]
    while i > 0 and list[i][by] > score do
      list[i + 1] = list[i]
      i = i - 1
    end
    list[i + 1] = k
  end

  -- ring_read opens the keys of a queue, at first those that are blocked until an instant
  -- within the horizon, then those that are ready, least pass first.
  function ring_read(q, n, by, now)
    local wanted = math.min(how_many(q, math.max(n, q.ring_at or 0), by), 127) -- twice as many each time
    n = q.dear and wanted + 1 or wanted -- whether it stays under its limits depends on the next one
    local list = {}
    if not q.ring then
      q.ring, q.soon, q.moved, q.ring_at = {}, {}, {}, 0
      local later = redis.call('ZRANGEBYSCORE', K.KEYLATER .. q.name, '-inf', string.format('%d', by), 'LIMIT', 0, n)
      if #later > 0 then
        list = keys_load(q, later, now)
      end
    end
    local ready = redis.call('ZRANGE', K.KEYREADY .. q.name, q.ring_at, q.ring_at + n - 1, 'WITHSCORES')
    q.ring_at = q.ring_at + #ready / 2
    q.ring_done = #ready / 2 < n or q.ring_at > 100 -- a claim looks at no more
    q.ring_seen = #ready > 0 and tonumber(ready[#ready]) or math.huge
    local names, passes, count = {}, {}, #ready / 2
    for i = 1, count do
      names[i], passes[i] = ready[2 * i - 1], ready[2 * i]
    end
    local more = keys_load(q, names, now, passes)
    for i = 1, count do
      list[#list + 1] = more[i]
    end
    lane_read(q, list, math.max(1, math.min(8, math.ceil(wanted / math.max(1, #list)))))
    for i = 1, #list do
      ring_add(q, list[i], now)
    end
  end

  -- key_aside takes the first key of a list out of the order until an instant; where that is
  -- never, it is looked at again in a while.
  function key_aside(list, at, now)
    local k = remove(list, 1)
    k.at = at < NEVER and at or now + LOOK_AGAIN
  end

  -- key_take debits the key of a task that the queue debited c for, and takes it out of the
  -- order.
  function key_take(q, t, at, c)
    local k, cost = t.key, t.costs and task_cost(t.costs, 'key') or 1
    remove(t.list, 1)
    if cost > 0 then
      buckets_debit(k.b, at, cost)
      k.running = k.running + (key_counts(q, k) and 1 or 0)
    end
    if k.pass > q.vt then
      q.vt = k.pass
    end
    if cost < c then
      cost = c
    end
    local step = floor((cost > 1 and cost or 1) * 1000 / k.weight)
    k.pass = q.vt + (step > 1 and step or 1)
  end

  -- next_key returns the first task of the key to serve next, and the earliest instant at
  -- which the key lets it start; nil when none may within the horizon. A key whose task costs
  -- more than the queue can hold is not in the order.
  function next_key(q, n, by, now)
    if not q.ring then
      ring_read(q, n, by, now)
    end
    while not q.ring_done and (not q.ring[1] or q.ring[1].pass > q.ring_seen) do
      ring_read(q, n, by, now)
    end
    local soon, ring = q.soon, q.ring
    local from = soon[1] and math.max(now, buckets_at(q.b, 1))
    while soon[1] and soon[1].at <= from do -- may run by when the queue may
      local k = remove(soon, 1)
      local i = #ring
      while i > 0 and ring[i].pass > k.pass do
        ring[i + 1] = ring[i]
        i = i - 1
      end
      ring[i + 1] = k
    end
    local list = ring[1] and ring or soon
    local k = list[1]
    if k then
      local t = lane_task(q, k)
      if k.unread then
        k.unread = nil
        local at = t and key_at(k, t.costs and task_cost(t.costs, 'key') or 1)
        if not at or at > now and at ~= k.at then -- it costs more than the last one
          remove(list, 1)
          ring_add(q, k, now)
          return next_key(q, n, by, now)
        end
        k.at = at
      end
      local from = t.costs and #q.b > 0 and buckets_possible(q.b, task_cost(t.costs, 'queue'))
      if from and from > by then
        key_aside(list, from, now)
        return next_key(q, n, by, now)
      end
      t.key, t.list = k, list
      q.first_ready = list == q.ring
      return t, k.at
    end
  end
end

-- open_queue returns a queue that a claim may take from, read once, or false when it has
-- nothing to do in this index.
local function open_queue(loaded, name, index, now)
  local q = loaded[name]
  if q == nil then
    q = load_queue(name, now) or false
    if q and q.index ~= index then
      return false -- the claim may serve its own index too
    elseif q and (q.held or q.limits and not limits_there(q, now)) then
      q = false
    end
    loaded[name] = q
    if q then
      q.had_gone, q.had_later = q.gone, q.later
      q.took_front, q.took_list, q.granted, q.seqs, q.charges = 0, 0, {}, {}, {}
      q.buffer, q.at_task, q.read_front, q.read_list = {ids = {}, recs = {}, seqs = {}, costs = {}}, 1, 0, 0
      q.task = {} -- the current one
      q.largest = q.big -- record: at first of all ever submitted, then of those seen
      promote(q, now, claim.promotions)
      claim.promotions = claim.promotions - (q.had_later - q.later)
      if q.keys then
        use_lanes()
        keys_review(q, 64, now)
      end
      loaded[#loaded + 1] = q
    end
  end
  return q and q.index == index and q
end

-- candidate returns the queue's next task and the earliest instant, now at the least, at
-- which the queue's own limits and its key let it start; or nil and the instant at which
-- to look again (nil: not before a settle or a submit).
local function candidate(q, n, by, now)
  if q.waiting == 0 and not (q.keys and q.gone > 0) then
    return nil
  elseif q.cap > 0 and not q.dear and full_cap(q) then
    return nil, NEVER
  end
  local t, at
  if q.keys then
    t, at = next_key(q, n, by, now)
  else
    t, at = next_task(q, n, by), now
  end
  if not t then
    return nil
  end
  local c = t.costs and task_cost(t.costs, 'queue') or 1
  local own = c > 0 and buckets_at(q.b, c) or q.b.frozen
  if c > 0 and q.cap > 0 and full_cap(q) then
    own = NEVER
  end
  if own > at then
    at = own
  end
  if q.dear and not q.keys and q.upto > at then
    at = q.upto -- a cheap task does not start before the dear one that was first
  end
  return t, at < now and now or at
end

-- held_until notes the instant at which the queue's own limits let its next task start. Of
-- one with keys that is known only of a key that may run: else another may come before.
local function held_until(q, at)
  q.own = (not q.keys or q.first_ready) and at or nil
end

-- reserved tells whether a task may be granted at an instant to come: no cap of a named
-- limit or a key applies, nothing that others share would be full then, and what is kept
-- for others is there when they need it.
local function reserved(q, t, at)
  if q.gave then -- a credit comes at once: what lies ahead then would be too much
    return false
  elseif t.key and (t.key.cap > 0 or q.dear or buckets_full(q.b, at)) then -- a dear task of a key would be overtaken by a cheap one
    return false
  end
  for _, name in ipairs(q.limits or {}) do
    local l, c = limits_read[name], task_cost(t.costs, name)
    if l and c > 0 then
      if l.cap > 0 or l.gave or buckets_full(l.b, at) or l.b.till and at >= l.b.till then
        return false
      end
      local kept = (l.keep or l.ask) and limit_kept(l, q.name, q.turn)
      if kept and not limit_beside(l, kept, at, c) then
        return false
      end
    end
  end
  return not (q.b.till and at >= q.b.till)
end

-- take grants the candidate: debits the queue's and the key's limit at the instant and
-- notes the lease.
local function take(q, t, at, now)
  local c = t.costs and task_cost(t.costs, 'queue') or 1
  if c > 0 then
    buckets_debit(q.b, at, c)
  else
    q.exempt = q.exempt + 1
  end
  q.spent, q.upto = q.spent + c, at
  local id, rec, seq, k, from = t.id, t.rec, t.seq, t.key, q
  local n = #q.seqs + 1
  if t.costs or k or q.limits then
    q.charges[n] = charge_text(q, t.costs, k and k.name, k and key_counts(q, k) and task_cost(t.costs, 'key') > 0)
  end
  if k then
    from = k.lane
    key_take(q, t, at, c)
  end
  from.at_task = from.at_task + 1
  if seq then
    from.took_front = from.took_front + 1
  else
    from.took_list = from.took_list + 1
    q.seq = q.seq + 1
    seq = q.seq
  end
  local g = q.granted
  g[n * 3 - 2], g[n * 3 - 1], g[n * 3] = id, at, rec
  q.seqs[n] = seq
  q.waiting = q.waiting - 1
  q.running = q.running + 1
  claim.room = claim.room - #rec
  claim.total = claim.total + 1
  if k then
    ring_add(q, k, now, q.dear and t.costs and task_cost(t.costs, 'key') or 1)
  end
end

-- save_supply writes what a claim took from a queue.
local function save_supply(q, now)
  local n = #q.seqs
  if q.keys then
    local list = {}
    for _, k in pairs(q.moved or {}) do
      if lane_trim(q, k) or key_place(q, k, now) ~= k.place then
        list[#list + 1] = k
      end
    end
    if #list > 0 then
      keys_write(q, list, now)
    end
  elseif q.took_front > 0 then
    redis.call('ZREMRANGEBYRANK', K.FRONT .. q.name, 0, q.took_front - 1)
  end
  if not q.keys and q.waiting == 0 and n > 0 then
    redis.call('UNLINK', K.WAIT .. q.name) -- with what was cancelled in it
    q.gone = 0
  elseif q.took_list > 0 then
    redis.call('LTRIM', K.WAIT .. q.name, q.took_list, -1)
  end
  if n > 0 then
    save_counts(q, n, q.keys and 0 or q.front - q.took_front)
  end
  if q.had_gone ~= q.gone then
    redis.call('HSET', K.QUEUE .. q.name, 'gone', q.gone)
  end
end
