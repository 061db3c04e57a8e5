-- claim.lua: the grant. Takes tasks that every limit lets start, debits the limits
-- and leases the tasks to one worker, in one act; what cannot start changes nothing.
--
-- What can start now goes first. Then tokens that become due within the look-ahead
-- are reserved, for at most half of a handler's remaining slots (at least one); each
-- is debited at its own start instant. Queues of one index take turns: each due one
-- gets an equal part of the slots, then the rest goes round again; a queue's score is
-- its last turn. A limit stands among them for the queues that wait at it, which it
-- serves one by one (turns.lua). Queues that are not due, and handlers without free
-- slots, are not looked at.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, claim (a number that grows; one that is taken returns the leases of the
--          claims from it on, and grants nothing), look-ahead in µs, most tasks, most bytes, part (the
--          tasks that a queue may take in its turn while others wait, one at least), ahead
--          (tasks beyond the free slots: claim_plain.lua), then for each index:
--          pool:handler or pool:handler=queue, free slots
--
-- Returns {1, end, first fence, indexes, queues, moves}, or for a number that is taken
-- {2, end, the last number that is taken, indexes, leases}
--   end      engine time at the end of the script: the reply comes no earlier
--   indexes  for each asked: {idle, next, mine, more}
--              idle  1 when nothing can start now and slots are free: the worker is
--                    woken when that changes; 0: it asks again once a slot is free
--              next  the next instant worth asking, 0 none known
--              mine  1 when it is this worker that should come then
--              more  1 when there is more to be taken ahead, else it is left out
--   queues   name, index, work settings, {id, start, record ...}, name, ...; or
--            {start of all, id, record ...}
--            the k-th task of the reply has the fence first + k - 1
--   leases   fence, start, id, name, index, work settings, record, fence, ... by fence
--   moves    queues that went from one limit to another
-- or {0} when the worker holds no lease (never registered, or reaped).

claim.room = tonumber(ARGV[5])
local c = {now = now, ahead = tonumber(ARGV[3]), most = tonumber(ARGV[4]), part = tonumber(ARGV[6]), fence = fence, moves = 0, loaded = {},
  indexes = {}, strays = {}, stuck = {}}
local handlers = {}
for i = 8, #ARGV, 2 do
  local base, only = string.match(ARGV[i], '^([^=]*)=?(.*)$')
  local handler = string.match(base, ':(.*)$') -- its slots serve all its pools
  handlers[handler] = handlers[handler] or {slots = tonumber(ARGV[i + 1])}
  if only == '' and tonumber(ARGV[i + 1]) > 0 then
    serving[base] = true
  end
  c.indexes[#c.indexes + 1] = {name = ARGV[i], base = base, only = only, h = handlers[handler], quota = 0}
end

-- due_entries reads what of an index is due within the look-ahead: queues, and limits
-- at which queues wait.
local function due_entries(index)
  local slots = math.min(index.h.slots, c.most)
  if slots <= 0 then
    return {}
  end
  if index.only == '' then
    return redis.call('ZRANGEBYSCORE', K.DUE .. index.base, '-inf', string.format('%d', now + c.ahead), 'WITHSCORES',
      'LIMIT', 0, math.min(slots, MAX_QUEUES))
  end
  local entry, t = head(index.name)
  return entry and t <= now + c.ahead and {entry, t} or {}
end

-- bulk is plain for a run of tasks that cost one token each, of one rate at most: the
-- same, in one loop. It returns how many it took, of those that have been read.
local function bulk(q, n, by)
  local buffer, r, g, k = q.buffer, q.b[1], q.granted, #q.seqs
  local i, seq, taken, room = q.at_task, q.seq, 0, claim.room
  local at = math.max(now, q.b.frozen)
  local upto = at
  while taken < n do
    local rec = buffer.recs[i]
    if not rec or buffer.seqs[i] or #rec > room and claim.total + taken > 0 then
      break
    end
    if r then
      local t = bucket_at(r[1], r[2], r[3], r[4], r[5], 1)
      if t > at then
        at = t
      end
      if at > by then
        break
      end
      r[4], r[5] = bucket_debit(r[1], r[2], r[4], r[5], at, 1)
    end
    taken, seq, room, upto = taken + 1, seq + 1, room - #rec, at
    k = k + 1
    g[k * 3 - 2], g[k * 3 - 1], g[k * 3] = buffer.ids[i], at, rec
    q.seqs[k] = seq
    i = i + 1
  end
  q.at_task, q.took_list, q.seq = i, q.took_list + taken, seq
  q.spent, q.waiting, q.running = q.spent + taken, q.waiting - taken, q.running + taken
  if taken > 0 then
    q.upto = upto
  end
  claim.room, claim.total = room, claim.total + taken
  return taken
end

-- plain takes up to n tasks of a queue that are under no named limit and start by then.
local function plain(q, n, by)
  local taken = 0
  while taken < n and claim.room > 0 do
    local t, at = candidate(q, n - taken, by, now)
    if not t or at > by or at > now and not reserved(q, t, at) then
      held_until(q, at)
      break
    end
    if #t.rec > claim.room and claim.total > 0 then
      claim.room = 0
      break
    end
    if q.limits and slowest(q, now, t.costs) then
      q.own, q.left = nil, true -- this one is under a limit: it goes there
      break
    end
    take(q, t, at, now)
    q.own = nil
    taken = taken + 1
    if not q.keys and not q.dear and not q.limits and q.cap == 0 and not q.b[2] and not q.b.till then
      taken = taken + bulk(q, n - taken, by)
    end
  end
  return taken
end

-- gather sorts the entries that are due by an instant: it returns the queues under no
-- limit, in their order, and how many queues wait at limits that could serve them; limits
-- are opened, and queues that may go on to theirs are put in line. Where a queue may take
-- more than one task in its turn, it stops at those that can fill the slots.
local function gather(index, by)
  local list, wanting, room = {}, 0, math.min(index.h.slots, c.most)
  for j = 1, index.all and 0 or #index.due, 2 do
    local entry = index.due[j]
    if tonumber(index.due[j + 1]) > by then
      break
    elseif c.part > 1 and room <= 0 then
      index.all = true -- the others have their turn in the next claim
      break
    elseif string.byte(entry, 1) == 64 then
      use_limits()
      use_turns()
      local l = open_limit(string.sub(entry, 2), c)
      if l then
        local n = math.max(1, math.min(#l.line, buckets_left(l.b, by) or #l.line))
        wanting, room = wanting + n, room - n * c.part
      else
        redis.call('ZREM', K.DUE .. index.base, entry)
      end
    else
      local q = open_queue(c.loaded, entry, index.base, now)
      if not q then
        redis.call('ZREM', K.DUE .. index.base, entry)
      elseif not q.lined then
        local t = q.limits and q.dear and candidate(q, 1, by, now)
        local where = q.limits and slowest(q, now, t and t.costs)
        if where and q.place ~= '' then -- it waits at a limit, and there alone
          redis.call('ZREM', K.DUE .. index.base, entry)
        elseif where then
          q.lined, wanting = true, wanting + 1
          use_turns()
          line_add(open_limit(where, c), q.turn, entry, index)
        else
          list[#list + 1] = q
          room = room - math.max(1, math.min(c.part, q.waiting, buckets_left(q.b, by) or q.waiting))
        end
      else
        wanting = wanting + 1
      end
    end
  end
  return list, wanting
end

-- rounds gives each queue an equal part of n slots, then the rest goes round again; it
-- returns what is left.
local function rounds(index, list, n, by)
  while #list > 0 and n > 0 and claim.room > 0 do
    local rest = {}
    for j, q in ipairs(list) do
      local part = math.ceil(n / (#list - j + 1))
      local k = plain(q, part, by)
      n, c.most, index.h.slots = n - k, c.most - k, index.h.slots - k
      if k == part and q.waiting > 0 and k > 0 then
        rest[#rest + 1] = q
      end
    end
    list = rest
  end
  return n
end

-- phase serves what starts by an instant, for a part of the slots of each index. Where
-- limits and queues under none want more, each has its part, and what it leaves goes to
-- the other.
local function phase(by, part)
  for _, index in ipairs(c.indexes) do
    index.list, index.wanting = gather(index, by)
    index.n = math.min(part(index.h.slots), c.most)
    index.quota = index.n
    if #index.list > 0 then
      index.quota = math.ceil(index.n * index.wanting / (index.wanting + #index.list))
    end
    index.n = index.n - index.quota
  end
  if #opened > 0 then
    serve_limits(by, c)
  end
  local again = false
  for _, index in ipairs(c.indexes) do
    if #index.list > 0 then
      again = true
      index.quota = rounds(index, index.list, math.min(index.n + index.quota, index.h.slots, c.most), by)
    end
  end
  if again and #opened > 0 then
    serve_limits(by, c)
  end
end

if not again then
  -- a removal first, so that tasks start and make room when memory is full
  redis.call('HDEL', KEYS[1], '')
  for _, index in ipairs(c.indexes) do
    index.due = due_entries(index)
  end
  phase(now, function(slots)
    return slots
  end)
  if c.ahead > 0 then
    phase(now + c.ahead, function(slots)
      return math.ceil(slots / 2)
    end)
  end
end

-- already leased: a reply that was lost, or what a submit has handed over
if again then
  local run = redis.call('HGETALL', K.RUN .. worker)
  local found = {}
  for i = 1, #run, 2 do
    local f, start, _, n, name = lease_read(run[i + 1])
    if tonumber(n) >= number then
      found[#found + 1] = {tonumber(f), tonumber(start), run[i], name}
    end
  end
  table.sort(found, function(a, b)
    return a[1] < b[1]
  end)
  local leases = {}
  for _, t in ipairs(found) do
    local v = redis.call('HMGET', K.QUEUE .. t[4], 'index', 'work')
    t[5], t[6], t[7] = v[1] or '', v[2] or '', redis.call('HGET', K.TASKS .. t[4], t[3]) or ''
    for k = 1, 7 do
      leases[#leases + 1] = t[k]
    end
  end
  local indexes = {}
  for i = 1, #c.indexes do
    indexes[i] = {0, 0, 0}
  end
  return {2, now + clock_passed(), tonumber(last), indexes, leases}
end

-- write: the leases, then the queues, then the limits
local first, run, queues = fence, {}, {}
for _, q in ipairs(c.loaded) do
  local g = q.granted
  if #g > 0 then
    local n, tail = #run, string.format(' %d %s', number, q.name)
    for i = 1, #q.seqs do
      run[n + 1] = g[i * 3 - 2]
      run[n + 2] = string.format('%d %d %d', fence, g[i * 3 - 1], q.seqs[i]) .. tail .. (q.charges[i] or '')
      n, fence = n + 2, fence + 1
    end
    queues[#queues + 1] = q.name
    queues[#queues + 1] = q.index
    queues[#queues + 1] = q.work
    queues[#queues + 1] = g
  end
end
if #run > 0 then
  lease_write(run)
end
claim_write(fence)
for _, q in ipairs(c.loaded) do
  save_supply(q, now)
  local n = #q.seqs
  if q.limits then
    if n > 0 or q.lined or q.left or q.where or q.own then
      place_queue(q, now, true, q.own, q.where)
    end
    if q.had_moves ~= q.moves then
      redis.call('HSET', K.QUEUE .. q.name, 'moved', q.moves > 0 and string.format('%d %d', q.moves, q.since) or '')
    end
  else -- one that was ready and got nothing keeps its turn
    local t = q.own or next_at(q, now)
    if n > 0 or not t or t > now then
      place_queue(q, now, true, t)
    end
  end
end
if #opened > 0 then
  for _, s in ipairs(c.strays) do
    limit_leave(s[1], s[2], s[3])
  end
  for _, s in ipairs(c.stuck) do
    redis.call('SADD', K.STUCK .. s[1], s[2])
  end
  save_limits(now)
end

-- who comes next, for each index
for _, w in ipairs(wakes) do
  wake_for(w[1], w[2])
end
local indexes = {}
for _, x in ipairs(c.indexes) do
  indexes[#indexes + 1] = come_next(worker, x.name, math.min(x.h.slots, c.most), now)
end
return {1, now + clock_passed(), first, indexes, queues, c.moves}
