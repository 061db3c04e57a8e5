-- claim.lua: the grant. Takes tasks that every limit lets start, debits the limits
-- and leases the tasks to one worker, in one act; what cannot start changes nothing.
--
-- What can start now goes first. Then tokens that become due within the look-ahead
-- are reserved, for at most half of a handler's remaining slots (at least one); each
-- is debited at its own start instant. Queues of one index take turns: each due one
-- gets an equal part of the slots, then the rest goes round again; a queue's score is
-- its last turn. Queues that are not due, and handlers without free slots, are not
-- looked at.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, claim (a number that grows; the last one again returns the same
--          tasks and grants nothing), look-ahead in µs, most tasks, most bytes,
--          then for each index: pool:handler or pool:handler=queue, free slots
--
-- Returns {1, now, first fence, indexes, queues}
--   indexes  for each asked: {idle, next, mine}
--              idle  1 when nothing can start now and slots are free: the worker is
--                    woken when that changes; 0: it asks again once a slot is free
--              next  the next instant worth asking, 0 none known
--              mine  1 when it is this worker that should come then
--   queues   name, index, work settings, {id, start, record ...}, name, ...
--            the k-th task of the reply has the fence first + k - 1
-- or {0} when the worker holds no lease (never registered, or reaped),
-- or {-1} when the claim is older than the last one.

local worker, claim = ARGV[1], tonumber(ARGV[2])
local ahead, most, room = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])

local v = redis.call('HMGET', K_WORKER .. worker, 'claim', 'reaped')
if not v[1] or v[2] then
  return {0}
end
local last = tonumber(v[1])
if claim < last then
  return {-1}
end
local now, off = clock_read(KEYS[1])
-- a fence is never given twice, also when Redis has lost its last writes
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence')) or 0
if fence < now then
  fence = now
end
local again = claim == last

local loaded, order, total = {}, {}, 0
local promotions = 100 -- over all queues of this claim

-- turn takes up to n tasks of a queue whose start lies at or before the instant by,
-- in memory; what it decides is written at the end.
local function turn(q, n, by)
  local taken, largest = 0, q.big -- record: at first of all ever submitted, then of those seen
  if n > q.waiting then
    n = q.waiting
  end
  while taken < n and room > 0 do
    -- how many tokens are there for it
    local starts, f, r = {}, q.full_at, q.rem
    while #starts < n - taken do
      local at = token_at(q, f, r)
      if at < now then
        at = now
      end
      if at > by then
        break
      end
      if q.n then
        f, r = bucket_debit(q.n, q.p, f, r, at, 1)
      end
      starts[#starts + 1] = at
    end
    local want = math.min(math.max(1, math.floor(room / (largest + 1))), #starts)
    if want == 0 then
      break
    end
    -- the tasks: first those that went back to the front, then the list
    local ids, seqs = {}, {}
    if q.front > q.from_front then
      local back = redis.call('ZRANGE', K_FRONT .. q.name, q.from_front, q.from_front + want - 1, 'WITHSCORES')
      for i = 1, #back, 2 do
        ids[#ids + 1] = back[i]
        seqs[#ids] = tonumber(back[i + 1])
      end
    end
    local back, read = #ids, want
    if q.gone > 0 then
      read = want + math.min(q.gone, 100)
    end
    if back < want then
      local list = redis.call('LRANGE', K_WAIT .. q.name, q.from_list, q.from_list + read - back - 1)
      for i = 1, #list do
        ids[#ids + 1] = list[i]
      end
    end
    if #ids == 0 or q.from_list > 1000 then
      break
    end
    local recs = redis.call('HMGET', K_TASKS .. q.name, unpack(ids))
    local ended = q.gone > 0 and redis.call('HMGET', K_ENDS .. q.name, unpack(ids))
    local k = 0
    largest = 0
    for i = 1, #ids do
      local rec = recs[i]
      if ended and ended[i] then
        rec = false
      end
      if k == want then
        break
      end
      if rec and #rec > room and total > 0 then
        room = 0
        break
      end
      if i <= back then
        q.from_front = q.from_front + 1
      else
        q.from_list = q.from_list + 1
      end
      if not rec then -- cancelled while it waited
        q.gone = q.gone - 1
      else
        k = k + 1
        if q.n then
          q.full_at, q.rem = bucket_debit(q.n, q.p, q.full_at, q.rem, starts[k], 1)
        end
        local seq = seqs[i]
        if not seq then
          q.seq = q.seq + 1
          seq = q.seq
        end
        local g = q.granted
        g[#g + 1] = ids[i]
        g[#g + 1] = starts[k]
        g[#g + 1] = rec
        q.seqs[#q.seqs + 1] = seq
        room = room - #rec
        largest = math.max(largest, #rec)
        total = total + 1
      end
    end
    taken = taken + k
    q.waiting = q.waiting - k
    if #ids < read and k < want then
      break
    end
  end
  return taken
end

-- open returns a due queue, read once, or false when it has left the index.
local function open(name, index)
  local q = loaded[name]
  if q == nil then
    q = load_queue(name) or false
    if not q or q.index ~= index or q.held then
      redis.call('ZREM', K_DUE .. index, name)
      q = false
    end
    loaded[name] = q
    if q then
      q.had_gone = q.gone
      q.from_front, q.from_list, q.granted, q.seqs = 0, 0, {}, {}
      local later = q.later
      promote(q, now, promotions)
      promotions = promotions - (later - q.later)
      order[#order + 1] = q
    end
  end
  return q
end

local free, used = {}, {}
for i = 6, #ARGV, 2 do
  local index = ARGV[i]
  local base, only = string.match(index, '^([^=]*)=?(.*)$')
  local handler = string.match(base, ':(.*)$') -- its slots serve all its pools
  local slots = tonumber(ARGV[i + 1]) - (used[handler] or 0)
  if slots > most then
    slots = most
  end
  local had = slots
  if slots > 0 and not again then
    local due
    if only == '' then
      due = redis.call('ZRANGEBYSCORE', K_DUE .. base, '-inf', now + ahead, 'WITHSCORES', 'LIMIT', 0, math.min(slots, MAX_QUEUES))
    else
      local t = redis.call('ZSCORE', K_DUE .. base, only)
      due = t and tonumber(t) <= now + ahead and {only, t} or {}
    end
    local ready = {}
    for j = 1, #due, 2 do
      if tonumber(due[j + 1]) <= now then
        local q = open(due[j], base)
        if q then
          ready[#ready + 1] = q
        end
      end
    end
    local round = ready
    while #round > 0 and slots > 0 and room > 0 do
      local rest = {}
      for j = 1, #round do
        local q = round[j]
        local part = math.ceil(slots / (#round - j + 1))
        local k = turn(q, part, now)
        slots, most = slots - k, most - k
        if k == part and q.waiting > 0 and k > 0 then
          rest[#rest + 1] = q
        end
      end
      round = rest
    end
    -- reserve: what of the due index starts within the look-ahead
    local hold = math.ceil(slots / 2)
    if ahead > 0 then
      for j = 1, #due, 2 do
        if hold <= 0 or room <= 0 then
          break
        end
        local q = open(due[j], base)
        if q then
          local k = turn(q, hold, now + ahead)
          hold, slots, most = hold - k, slots - k, most - k
        end
      end
    end
  end
  used[handler] = (used[handler] or 0) + had - slots
  free[#free + 1] = slots
end

-- the tasks of this claim, already leased: a reply that was lost
if again then
  local run = redis.call('HGETALL', K_RUN .. worker)
  local found = {}
  for i = 1, #run, 2 do
    local f, start, seq, c, name = string.match(run[i + 1], '^(%d+) (%d+) (%d+) (%d+) (.*)$')
    if tonumber(c) == claim then
      found[#found + 1] = {tonumber(f), tonumber(start), run[i], name}
    end
  end
  table.sort(found, function(a, b)
    return a[1] < b[1]
  end)
  local queues = {}
  for _, t in ipairs(found) do
    queues[#queues + 1] = t[4]
    local v = redis.call('HMGET', K_QUEUE .. t[4], 'index', 'work')
    queues[#queues + 1] = v[1] or ''
    queues[#queues + 1] = v[2] or ''
    queues[#queues + 1] = {t[3], t[2], redis.call('HGET', K_TASKS .. t[4], t[3]) or ''}
  end
  local indexes = {}
  for i = 1, #free do
    indexes[i] = {0, 0, 0}
  end
  return {1, now, found[1] and found[1][1] or fence, indexes, queues}
end

-- write: a removal first, so that tasks start and make room when memory is full; the
-- lease, then the queues
redis.call('HDEL', KEYS[1], '')
local first, run, queues = fence, {}, {}
for _, q in ipairs(order) do
  local g = q.granted
  if #g > 0 then
    for i = 1, #q.seqs do
      run[#run + 1] = g[i * 3 - 2]
      run[#run + 1] = string.format('%.0f %.0f %d %d %s', fence, g[i * 3 - 1], q.seqs[i], claim, q.name)
      fence = fence + 1
    end
    queues[#queues + 1] = q.name
    queues[#queues + 1] = q.index
    queues[#queues + 1] = q.work
    queues[#queues + 1] = g
  end
end
if #run > 0 then
  redis.call('HSET', K_RUN .. worker, unpack(run))
  redis.call('HSET', KEYS[1], 'fence', fence)
end
redis.call('HSET', K_WORKER .. worker, 'claim', claim)
clock_write(KEYS[1], now, off)
for _, q in ipairs(order) do
  local n = #q.seqs
  if q.from_front > 0 then
    redis.call('ZREMRANGEBYRANK', K_FRONT .. q.name, 0, q.from_front - 1)
  end
  if q.waiting == 0 and n > 0 then
    redis.call('UNLINK', K_WAIT .. q.name) -- with what was cancelled in it
    q.gone = 0
  elseif q.from_list > 0 then
    redis.call('LTRIM', K_WAIT .. q.name, q.from_list, -1)
  end
  if n > 0 then
    q.running = q.running + n
    redis.call('HSET', K_QUEUE .. q.name, 'waiting', q.waiting, 'running', q.running, 'seq', q.seq,
      'front', q.front - q.from_front, 'full_at', q.full_at, 'rem', q.rem)
    redis.call('HINCRBY', K_QUEUE .. q.name, 'spent', n)
  end
  if q.had_gone ~= q.gone then
    redis.call('HSET', K_QUEUE .. q.name, 'gone', q.gone)
  end
  -- a queue that was ready and got nothing keeps its turn
  local t = next_at(q, now)
  if n > 0 or not t or t > now then
    index_queue(q, now, true)
  end
end

-- who comes next, for each index
local indexes = {}
for i = 6, #ARGV, 2 do
  local index, slots = ARGV[i], free[(i - 4) / 2]
  local first, next, base = head(index)
  local idle, mine = 0, 0
  local at, who = appointment(index, now)
  if who == worker then -- kept, maybe early: what it was made for has been seen to
    redis.call('HDEL', K_APPOINTMENTS, index)
    at = 0
  end
  if next > 0 and next <= now then
    redis.call('ZREM', K_IDLE .. index, worker)
    wake_for(base, first)
  elseif slots > 0 then
    idle = 1
    redis.call('ZADD', K_IDLE .. index, now, worker)
    if next > 0 and (at == 0 or at > next + 1000) then
      mine = 1
      redis.call('HSET', K_APPOINTMENTS, index, string.format('%.0f %s', next, worker))
    end
  else
    redis.call('ZREM', K_IDLE .. index, worker)
    if next > 0 and at == 0 then
      wake_for(base, first) -- somebody else comes then
    end
  end
  indexes[#indexes + 1] = {idle, next, mine}
end
return {1, now, first, indexes, queues}
