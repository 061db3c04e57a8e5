-- submit_plain.lua: tasks with a payload, and maybe an own id, into a queue with no more
-- than rates and a cap of its own that has others waiting, or one without limits: what
-- submit.lua would do, before all that it needs is made. Put in front of the rest, behind
-- wake.lua. A task that is alone, of a queue without limits, is leased at once to a worker
-- that waits for work: the call that wakes it, and its claim, in one.
--
-- ARGV     "*queue", then the record of each task; or "+queue", then own id and record of
--          each. In front of the queue, also in the form of submit.lua, may stand
--          "@bulk tasks seconds ": how many tasks of a bulk are in with these, which is noted
--          in the same act and kept for so long
--
-- Returns {2, now, ahead, number of the first id, number of the queue}, and where it has a
-- limit, is held or was frozen {..., held, rate, bucket, frozen, running, cap}, without lists
-- in it, which cost more than all that is in them; or {-1, i} as submit.lua. Else it leaves
-- the same tasks to submit.lua, in its form.

local ARGV = ARGV
local form = string.byte(ARGV[1], 1)
local bulk, bulk_tasks, bulk_kept
if form == 64 then
  bulk, bulk_tasks, bulk_kept, ARGV[1] = string.match(ARGV[1], '^@(%S+) (%d+) (%d+) (.*)$')
  form = string.byte(ARGV[1], 1)
end
local step = form == 42 and 1 or form == 43 and 2 or 0
local name = string.sub(ARGV[1], 2)

-- own_ids returns each own id with that of its task, or nil and the place of one that is
-- taken.
local function own_ids(first, no)
  local own, ids, seen = {}, {}, {}
  for n = 1, (#ARGV - 1) / 2 do
    local id = ARGV[2 * n]
    if seen[id] then
      return nil, n
    end
    seen[id], own[n] = true, id
    ids[2 * n - 1], ids[2 * n] = id, string.format('%013x-%x', first + n - 1, no)
  end
  local taken = redis.call('HMGET', K.IDS, unpack(own))
  for n = 1, #own do
    if taken[n] then
      return nil, n
    end
  end
  return ids
end

-- waits returns a worker that waits for work of an index and listens, and the number of its
-- last claim; or nil. It gave a sign of life lately, and has not said that it comes at an
-- instant: who comes then needs its slots.
local function waits(index, now)
  local worker = redis.call('ZRANGE', K.IDLE .. index, -1, -1)[1]
  local v = worker and redis.call('HMGET', K.WORKER .. worker, 'claim', 'reaped', 'draining', 'beat')
  if not worker or not v[1] or v[2] or v[3] == '1' or now - (tonumber(v[4]) or 0) > 2000000 then
    return nil
  end
  local _, who = appointment(index, now)
  if who == worker then
    return nil
  end
  local listening = redis.pcall('PUBSUB', 'NUMSUB', K.WAKE .. worker) -- a user may have no right to ask
  if listening.err or listening[2] == 0 then
    return nil
  end
  return worker, tonumber(v[1])
end

-- hand_over leases a task to a worker, under a number behind its last claim.
local function hand_over(worker, claim, id, queue, now, fence)
  local seq = tonumber(queue.seq) + 1
  redis.call('HSET', K.RUN .. worker, id, string.format('%d %d %d %d %s', fence, now, seq, claim, name))
  redis.call('HSET', K.QUEUE .. name, 'running', tonumber(queue.running) + 1, 'seq', seq, 'spent', string.format('%d', queue.spent + 1),
    'upto', string.format('%d', now))
  redis.call('HSET', K.WORKER .. worker, 'claim', claim)
  redis.call('ZREM', K.IDLE .. queue.index, worker)
end

-- tell tells it. That may be lost: the claim that the worker makes next has a number that is
-- taken, and so gives it the task.
local function tell(worker, claim, id, queue, now, fence, rec)
  redis.call('PUBLISH', K.WAKE .. worker,
    string.format('task %d %d %d %s %s %s %s\n', claim, fence, now, id, queue.index, name, queue.work) .. rec)
end

-- plain_submit is the whole submit, or nil.
local function plain_submit()
  local key = K.QUEUE .. name
  local v = redis.call('HMGET', key, 'rate', 'frozen', 'held', 'waiting', 'later', 'big', 'cap', 'over', 'limits', 'place', 'key', 'no',
    'last_id', 'max_length')
  local rate, ahead, big = v[1], tonumber(v[4]), tonumber(v[6])
  if not rate or not v[2] or not v[3] or not ahead or not big or not v[7] or not v[12] or not v[13] then
    return nil -- a queue as an older version stored it
  end
  -- nothing that is scheduled goes first
  if v[5] ~= '0' or (v[8] or '') ~= '' or v[9] ~= '' or v[11] ~= '' or v[14] ~= '0' or rate ~= '' and string.find(rate, '[^%d ,]') then
    return nil
  end
  local free = rate == '' and v[7] == '0' and v[2] == '0' and v[3] == '' and v[10] == ''
  local idle, busy -- what else is read of a queue without waiting tasks, and of one with limits
  if ahead == 0 then
    if not free then
      return nil -- its place may be another than that of one with waiting tasks
    end
    idle = redis.call('HMGET', key, 'index', 'running', 'seq', 'spent', 'work', 'dear')
  elseif not free then
    busy = redis.call('HMGET', key, 'bucket', 'running', 'exempt')
    if not busy[2] or not busy[3] then
      return nil
    end
  end
  local now, off, stepped, fence = clock_read(KEYS[1])
  local no, last = tonumber(v[12]), tonumber(v[13])
  if last < now then
    last = now - 1
  end
  local first, n = last + 1, (#ARGV - 1) / step
  local own, taken, had_own
  if step == 2 then
    own, taken = own_ids(first, no)
    if taken then
      return {-1, taken}
    end
    had_own = redis.call('HGET', key, 'own')
  end
  local worker, claim, id, queue
  if n == 1 and idle and idle[2] and idle[3] and idle[4] and idle[5] and idle[6] == '0' and #ARGV[1 + step] <= MAX_HANDED then
    worker, claim = waits(idle[1], now)
  end
  local grown = false
  if n == 1 then
    local rec = ARGV[1 + step]
    id = string.format('%013x-%x', first, no)
    grown = #rec > big
    big = grown and #rec or big
    redis.call('HSET', K.TASKS .. name, id, rec)
    if worker then
      fence, claim, queue = math.max(fence, now), claim + 1, {index = idle[1], running = idle[2], seq = idle[3], spent = idle[4], work = idle[5]}
      hand_over(worker, claim, id, queue, now, fence)
    else
      redis.call('RPUSH', K.WAIT .. name, id)
    end
  else
    local bodies, ids, text, format, argv, at, largest = {}, {}, string.format('%%013x-%x', no), string.format, ARGV, 1, big
    for k = 1, n do
      at = at + step
      local id, rec = format(text, last + k), argv[at]
      ids[k], bodies[2 * k - 1], bodies[2 * k] = id, id, rec
      if #rec > largest then
        largest = #rec
      end
    end
    grown = largest > big
    big = largest
    redis.call('HSET', K.TASKS .. name, unpack(bodies))
    redis.call('RPUSH', K.WAIT .. name, unpack(ids))
  end
  if own then
    redis.call('HSET', K.IDS, unpack(own))
    if had_own ~= '1' then
      redis.call('HSET', key, 'own', 1)
    end
  end
  if grown then
    redis.call('HSET', key, 'big', big)
  end
  redis.call('HSET', key, 'waiting', worker and 0 or ahead + n, 'last_id', string.format('%d', last + n))
  if ahead == 0 and not worker then -- one that is ready keeps its turn
    redis.call('ZADD', K.DUE .. idle[1], 'LT', string.format('%d', now), name)
    wake_for(idle[1], name)
  end
  -- Behind others no decision stands on now: only the id, which says when the task came, and
  -- when the queue was last used. A step back of TIME before anything else stores it stays unseen.
  if ahead == 0 or stepped > 0 then
    clock_write(KEYS[1], now, off, worker and fence + 1)
  end
  if bulk then
    redis.call('SET', K.BULK .. bulk, bulk_tasks, 'EX', bulk_kept)
  end
  if worker then
    tell(worker, claim, id, queue, now, fence, ARGV[1 + step])
  end
  if free then
    return {2, now, ahead, first, no}
  end
  return {2, now, ahead, first, no, v[3], rate, busy[1] or '', v[2], tonumber(busy[2]) - tonumber(busy[3]), tonumber(v[7])}
end

if step > 0 then
  local plain = plain_submit()
  if plain then
    return plain
  end
  local long = {name}
  for i = 2, #ARGV, step do
    local n = #long
    long[n + 1], long[n + 2], long[n + 3] = step == 2 and ARGV[i] or '', '', ARGV[i + step - 1]
  end
  ARGV = long
end
