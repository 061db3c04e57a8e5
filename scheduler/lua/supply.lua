-- supply.lua: the tasks of a queue during a claim, first to last, read in chunks and in
-- memory only; save_supply writes what was taken. In front of claim.lua.

-- How much a claim may still read and give out; it is shared by all of them.
local claim = {room = 0, promotions = 100, total = 0}

-- open_queue returns a queue that a claim may take from, read once, or false when it has
-- nothing to do in this index.
local function open_queue(loaded, name, index, now)
  local q = loaded[name]
  if q == nil then
    q = load_queue(name, now) or false
    if q and (q.index ~= index or q.held or q.limits and not limits_there(q, now)) then
      q = false
    end
    loaded[name] = q
    if q then
      q.had_gone, q.had_later = q.gone, q.later
      q.from_front, q.from_list, q.granted, q.leases = 0, 0, {}, {}
      q.buffer, q.at, q.read_front, q.read_list = {}, 1, 0, 0
      q.largest = q.big -- record: at first of all ever submitted, then of those seen
      promote(q, now, claim.promotions)
      claim.promotions = claim.promotions - (q.had_later - q.later)
      if q.keys then
        keys_review(q, 64, now)
      end
      loaded[#loaded + 1] = q
    end
  end
  return q
end

-- read_records adds tasks to a buffer, with their records.
local function read_records(q, buffer, ids, seqs, back)
  local recs = redis.call('HMGET', K_TASKS .. q.name, unpack(ids))
  local ended = q.gone > 0 and redis.call('HMGET', K_ENDS .. q.name, unpack(ids))
  for i = 1, #ids do
    local rec = recs[i]
    if ended and ended[i] then
      rec = false -- cancelled while it waited
    end
    local t = {id = ids[i], rec = rec, seq = seqs[i], back = i <= back}
    if rec then
      t.costs = task_costs(rec)
      q.largest = q.seen and math.max(q.largest, #rec) or #rec
      q.seen = true
    end
    buffer[#buffer + 1] = t
  end
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

-- next_task returns the first task that is left in the queue's list, or nil.
local function next_task(q, n, by)
  while true do
    local t = q.buffer[q.at]
    if t and t.rec then
      return t
    elseif t then -- gone
      q.at = q.at + 1
      q.gone = q.gone - 1
      if t.back then
        q.from_front = q.from_front + 1
      else
        q.from_list = q.from_list + 1
      end
    else
      if q.drained or q.waiting == 0 or q.from_list > 1000 then
        return nil
      end
      local want = how_many(q, n, by)
      local ids, seqs = {}, {}
      if q.front > q.read_front then
        local back = redis.call('ZRANGE', K_FRONT .. q.name, q.read_front, q.read_front + want - 1, 'WITHSCORES')
        for i = 1, #back, 2 do
          ids[#ids + 1] = back[i]
          seqs[#ids] = tonumber(back[i + 1])
        end
      end
      local back = #ids
      q.read_front = q.read_front + back
      if back < want then
        local read = want - back + math.min(q.gone, 100)
        local list = redis.call('LRANGE', K_WAIT .. q.name, q.read_list, q.read_list + read - 1)
        q.read_list = q.read_list + #list
        q.drained = #list < read
        for i = 1, #list do
          ids[#ids + 1] = list[i]
        end
      end
      if #ids == 0 then
        return nil
      end
      read_records(q, q.buffer, ids, seqs, back)
    end
  end
end

-- lane_read reads the first n tasks of keys, all records at once.
local function lane_read(q, list, n)
  local ids, whose = {}, {}
  for _, k in ipairs(list) do
    k.buffer, k.next = k.buffer or {}, k.next or 1
    k.took_front, k.took_list, k.read_list = k.took_front or 0, k.took_list or 0, k.read_list or 0
    local key = q.name .. ':' .. k.name
    if k.front > 0 and not k.front_read then
      k.front_read = true
      local back = redis.call('ZRANGE', K_LANEFRONT .. key, 0, -1, 'WITHSCORES')
      for i = 1, #back, 2 do
        ids[#ids + 1] = back[i]
        whose[#ids] = {k, tonumber(back[i + 1])}
      end
    end
    local lane = redis.call('LRANGE', K_LANE .. key, k.read_list, k.read_list + n - 1)
    k.read_list = k.read_list + #lane
    k.drained = #lane < n
    for i = 1, #lane do
      ids[#ids + 1] = lane[i]
      whose[#ids] = {k}
    end
  end
  for from = 1, #ids, 1000 do
    local part = {unpack(ids, from, math.min(from + 999, #ids))}
    local into = {}
    read_records(q, into, part, {}, 0)
    for i, t in ipairs(into) do
      local w = whose[from + i - 1]
      t.seq, t.back = w[2], w[2] ~= nil
      table.insert(w[1].buffer, t)
    end
  end
end

-- lane_task returns the first task that is left of a key, or nil.
local function lane_task(q, k)
  while true do
    local t = k.buffer[k.next]
    if t and t.rec then
      return t
    elseif t then
      k.next = k.next + 1
      q.gone = q.gone - 1
      if t.back then
        k.took_front = k.took_front + 1
      else
        k.took_list = k.took_list + 1
      end
    elseif k.drained then
      return nil
    else
      lane_read(q, {k}, 8)
    end
  end
end

-- ring_add puts a key where it may be served: among the ready ones, by pass, or among
-- those that come soon, by instant.
local function ring_add(q, k, now)
  local t = lane_task(q, k)
  k.has = t ~= nil
  q.moved[k.name] = k
  if not t then
    k.at = nil
    return
  end
  k.at = key_at(k, task_cost(t.costs, 'key'))
  if k.at >= NEVER then
    return
  end
  local list, by = q.ring, 'pass'
  if k.at > now then
    list, by = q.soon, 'at'
  end
  local i = #list
  while i > 0 and list[i][by] > k[by] do
    list[i + 1] = list[i]
    i = i - 1
  end
  list[i + 1] = k
end

-- ring_read opens the keys of a queue, at first those that are blocked until an instant
-- within the horizon, then those that are ready, least pass first.
local function ring_read(q, n, by, now)
  n = math.min(how_many(q, n, by), 128)
  local list = {}
  if not q.ring then
    q.ring, q.soon, q.moved, q.ring_at = {}, {}, {}, 0
    local later = redis.call('ZRANGEBYSCORE', K_KEYLATER .. q.name, '-inf', string.format('%.0f', by), 'LIMIT', 0, n)
    for _, k in ipairs(keys_load(q, later, now)) do
      list[#list + 1] = k
    end
  end
  local ready = redis.call('ZRANGE', K_KEYREADY .. q.name, q.ring_at, q.ring_at + n - 1, 'WITHSCORES')
  q.ring_at = q.ring_at + #ready / 2
  q.ring_done = #ready / 2 < n
  q.ring_seen = #ready > 0 and tonumber(ready[#ready]) or math.huge
  local names = {}
  for i = 1, #ready, 2 do
    names[#names + 1] = ready[i]
  end
  for _, k in ipairs(keys_load(q, names, now)) do
    list[#list + 1] = k
  end
  lane_read(q, list, math.max(1, math.min(8, math.ceil(n / math.max(1, #list)))))
  for _, k in ipairs(list) do
    ring_add(q, k, now)
  end
end

-- next_key returns the key to serve next, its first task, and the earliest instant at
-- which the key lets it start; nil when none may within the horizon.
local function next_key(q, n, by, now)
  if not q.ring then
    ring_read(q, n, by, now)
  end
  while not q.ring_done and (not q.ring[1] or q.ring[1].pass > q.ring_seen) do
    ring_read(q, n, by, now)
  end
  local from = math.max(now, buckets_at(q.b, 1))
  while q.soon[1] and q.soon[1].at <= from do -- may run by when the queue may
    local k = table.remove(q.soon, 1)
    local i = #q.ring
    while i > 0 and q.ring[i].pass > k.pass do
      q.ring[i + 1] = q.ring[i]
      i = i - 1
    end
    q.ring[i + 1] = k
  end
  local list = q.ring[1] and q.ring or q.soon
  local k = list[1]
  if k then
    return k, lane_task(q, k), k.at, list
  end
end

-- candidate returns the queue's next task and the earliest instant, now at the least, at
-- which the queue's own limits and its key let it start; or nil and the instant at which
-- to look again (nil: not before a settle or a submit).
local function candidate(q, n, by, now)
  if full_cap(q) then
    return nil, NEVER
  end
  local t, k, at, list
  if q.keys then
    if q.waiting == 0 then
      return nil
    end
    k, t, at, list = next_key(q, n, by, now)
    if not t then
      return nil
    end
    t.key, t.list = k, list
  else
    t = next_task(q, n, by)
    if not t then
      return nil
    end
    at = now
  end
  local c = task_cost(t.costs, 'queue')
  local own = c > 0 and buckets_at(q.b, c) or q.b.frozen
  return t, math.max(now, at, own)
end

-- take grants the candidate: debits the queue's and the key's limit at the instant and
-- notes the lease.
local function take(q, t, at, now)
  local c = task_cost(t.costs, 'queue')
  if c > 0 then
    buckets_debit(q.b, at, c)
  else
    q.exempt = q.exempt + 1
  end
  q.spent = (q.spent or 0) + c
  local k = t.key
  if k then
    table.remove(t.list, 1)
    k.next = k.next + 1
    if t.back then
      k.took_front = k.took_front + 1
    else
      k.took_list = k.took_list + 1
    end
    local kc = task_cost(t.costs, 'key')
    if kc > 0 then
      buckets_debit(k.b, at, kc)
      k.running = k.running + 1
    end
    q.vt = math.max(q.vt, k.pass)
    k.pass = k.pass + math.max(1, math.floor(math.max(1, t.costs and t.costs.all or 1) * 1000 / k.weight))
    ring_add(q, k, now)
  else
    q.at = q.at + 1
    if t.back then
      q.from_front = q.from_front + 1
    else
      q.from_list = q.from_list + 1
    end
  end
  local seq = t.seq
  if not seq then
    q.seq = q.seq + 1
    seq = q.seq
  end
  local g = q.granted
  g[#g + 1] = t.id
  g[#g + 1] = at
  g[#g + 1] = t.rec
  q.leases[#q.leases + 1] = {seq, charge_text(q, t.costs, k and k.name)}
  q.waiting = q.waiting - 1
  q.running = q.running + 1
  claim.room = claim.room - #t.rec
  claim.total = claim.total + 1
end

-- save_supply writes what a claim took from a queue.
local function save_supply(q, now)
  local n = #q.leases
  if q.keys then
    local list = {}
    for _, k in pairs(q.moved or {}) do
      local key = q.name .. ':' .. k.name
      if k.took_front > 0 then
        redis.call('ZREMRANGEBYRANK', K_LANEFRONT .. key, 0, k.took_front - 1)
        k.front = k.front - k.took_front
      end
      if k.took_list > 0 then
        redis.call('LTRIM', K_LANE .. key, k.took_list, -1)
      end
      if k.took_front + k.took_list > 0 or key_place(k, now) ~= k.place then
        list[#list + 1] = k
      end
    end
    if #list > 0 then
      keys_write(q, list, now)
    end
  elseif q.from_front > 0 then
    redis.call('ZREMRANGEBYRANK', K_FRONT .. q.name, 0, q.from_front - 1)
  end
  if not q.keys and q.waiting == 0 and n > 0 then
    redis.call('UNLINK', K_WAIT .. q.name) -- with what was cancelled in it
    q.gone = 0
  elseif q.from_list > 0 then
    redis.call('LTRIM', K_WAIT .. q.name, q.from_list, -1)
  end
  if n > 0 then
    redis.call('HSET', K_QUEUE .. q.name, 'waiting', q.waiting, 'running', q.running, 'seq', q.seq,
      'front', q.front - q.from_front, queue_bucket(q))
    redis.call('HINCRBY', K_QUEUE .. q.name, 'spent', q.spent)
    if q.exempt > 0 then
      redis.call('HSET', K_QUEUE .. q.name, 'exempt', q.exempt)
    end
    if q.limits or q.keys then
      redis.call('HSET', K_QUEUE .. q.name, 'turn', string.format('%.0f', q.turn), 'vt', string.format('%.0f', q.vt or 0))
    end
  end
  if q.had_gone ~= q.gone then
    redis.call('HSET', K_QUEUE .. q.name, 'gone', q.gone)
  end
end
