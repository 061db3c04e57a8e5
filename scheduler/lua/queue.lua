-- queue.lua: a queue's state in a script, and the one place where it waits.
-- Put in front of the verbs that touch queues, behind limit.lua and key.lua.
--
-- A queue waits in exactly one place:
--   due:<index>           at its own next instant
--   lw:<limit>:<index>    at a limit that it names, by its turn, when its own limits let
--                         it start; the limit stands in due:<index> as @<limit>
--   nowhere               empty, held, its own cap full, all its keys' caps full

-- load_queue reads what a decision about a queue needs, or returns nil when
-- there is no such queue. Counters are numbers, settings as stored. A small hash is a
-- list, and each field is looked for from its beginning: define.lua has these first.
local function load_queue(name, now)
  local v = redis.call('HMGET', K.QUEUE .. name, 'index', 'rate', 'bucket', 'frozen', 'held', 'waiting', 'running',
    'later', 'front', 'seq', 'big', 'work', 'gone', 'cap', 'exempt', 'dear', 'over', 'limits', 'place', 'turn', 'key', 'vt', 'spent', 'upto', 'moved')
  if not v[1] then
    return nil
  end
  local q = {
    name = name, index = v[1], b = buckets_read(v[2], v[3], v[17], v[4], now), held = v[5] and v[5] ~= '' and v[5],
    waiting = tonumber(v[6]) or 0, running = tonumber(v[7]) or 0, later = tonumber(v[8]) or 0,
    front = tonumber(v[9]) or 0, seq = tonumber(v[10]) or 0, big = tonumber(v[11]) or 0, work = v[12],
    gone = tonumber(v[13]) or 0, -- cancelled tasks that still stand in the list
    cap = tonumber(v[14]) or 0, exempt = tonumber(v[15]) or 0, -- running tasks that are not under its own limit
    dear = v[16] == '1' or v[16] == '2', -- has had tasks that cost other than 1
    gave = v[16] == '2', -- one of them cost less than it was granted
    place = v[19] or '', turn = tonumber(v[20]) or 0, spent = tonumber(v[23]) or 0,
    upto = tonumber(v[24]) or 0, -- the latest start that was granted
  }
  local keyed = v[21] and v[21] ~= ''
  if q.b.damaged or keyed and not string.find(v[21], '^%d+ %d+ ') then
    q.held = 'damaged' -- limits that cannot be read are not the lack of them
  elseif keyed then
    use_keys()
    q.keys = true
    q.vt = tonumber(v[22]) or 0
  end
  if q.place ~= '' then
    use_limits()
  end
  if v[18] and v[18] ~= '' then
    use_limits()
    q.limits, q.moves, q.since = {}, 0, 0 -- how often it went to another limit since its last grant, and when
    if v[25] and v[25] ~= '' then
      local moves, since = string.match(v[25], '^(%d+) (%d+)$')
      q.moves, q.since = tonumber(moves), tonumber(since)
    end
    q.had_moves = q.moves
    for limit in string.gmatch(v[18], '%S+') do
      q.limits[#q.limits + 1] = limit
    end
  end
  return q
end

-- queue_bucket returns the fields that hold the queue's own buckets.
local function queue_bucket(q)
  if q.b.reverted then
    redis.call('HDEL', K.QUEUE .. q.name, 'over')
  end
  return 'bucket', buckets_text(q.b)
end

-- save_counts writes what changes of a queue when n of its tasks are granted, and how many
-- tasks stand in front of its list.
local function save_counts(q, n, front)
  redis.call('HSET', K.QUEUE .. q.name, 'waiting', q.waiting, 'running', q.running, 'seq', q.seq,
    'upto', string.format('%d', q.upto), 'front', front, 'spent', string.format('%d', q.spent), 'exempt', q.exempt,
    'turn', string.format('%d', q.turn), 'vt', string.format('%d', q.vt or 0), queue_bucket(q))
  if q.dear then -- else as many starts as tokens
    redis.call('HINCRBY', K.QUEUE .. q.name, 'starts', n)
  end
end

-- full_cap tells whether the queue's own cap lets no more start.
local function full_cap(q)
  return q.cap > 0 and q.running - q.exempt >= q.cap
end

-- head_costs are those of the first waiting task, where they may differ from 1. With keys
-- it is not known which is first: then they are none, so that no instant is too late; a
-- claim that finds it otherwise notes the right one. The same behind many cancelled ones.
local NO_COSTS = {0}

local function head_costs(q)
  if not q.dear then
    return nil
  elseif q.keys then
    return NO_COSTS
  end
  local id = q.front > 0 and redis.call('ZRANGE', K.FRONT .. q.name, 0, 0)[1]
  if not id and q.gone == 0 then
    id = redis.call('LINDEX', K.WAIT .. q.name, 0)
  elseif not id and q.waiting > 0 then
    local ids = redis.call('LRANGE', K.WAIT .. q.name, 0, math.min(q.gone, 100))
    local ended = redis.call('HMGET', K.ENDS .. q.name, unpack(ids))
    local bodies = redis.call('HMGET', K.TASKS .. q.name, unpack(ids))
    for i = 1, #ids do
      if bodies[i] and not ended[i] then
        return task_costs(bodies[i])
      end
    end
    return NO_COSTS
  end
  local rec = id and redis.call('HGET', K.TASKS .. q.name, id)
  return rec and task_costs(rec) or nil
end

-- next_at returns the earliest instant at which its own limits make it worth asking for
-- a task of the queue, not before now; nil when a settle, a submit or a resume has to
-- come first.
local function next_at(q, now)
  if q.held then
    return nil
  end
  local t = now
  if q.waiting == 0 or q.keys then
    local first = q.waiting + (q.keys and q.gone or 0) > 0 and keys_next(q, now) -- a claim takes what was cancelled away
    if not first and q.later == 0 then
      return nil
    end
    if q.later > 0 and (not first or first > now) then
      local l = tonumber(redis.call('ZRANGE', K.LATER .. q.name, 0, 0, 'WITHSCORES')[2])
      first = first and math.min(first, l) or l
    end
    t = math.max(now, first)
  end
  local c = task_cost(head_costs(q), 'queue')
  if c > 0 and full_cap(q) then
    return nil
  end
  local at = q.waiting > 0 and c > 0 and buckets_at(q.b, c) or q.b.frozen
  if at >= NEVER then
    return nil
  end
  return math.max(t, at)
end

-- limits_there tells whether all limits that the queue names are known; where one is not,
-- nothing of it starts.
local function limits_there(q, now)
  for _, name in ipairs(q.limits) do
    if not limits_read[name] and not limit_load(name, now) then
      return false
    end
  end
  return true
end

-- slowest is the limit at which the queue waits: of those that it names and that its
-- first task is under, the one that refills slowest. One without a rate is fastest. nil
-- when the task is under none of them.
local function slowest(q, now, costs)
  local name, least
  for _, n in ipairs(q.limits) do
    if not costs or task_cost(costs, n) > 0 then
      local speed = math.huge
      for _, r in ipairs(limit_load(n, now).b) do
        speed = math.min(speed, r[1] / r[2])
      end
      if not least or speed < least then
        name, least = n, speed
      end
    end
  end
  return name
end

-- place_queue writes the queue's one place, and returns the instant at which it is worth
-- to come for it. One that is ready keeps its turn in the due index: only a claim that
-- has served it (served) moves it behind. where is the limit at which it is to wait; else
-- it stays where it waits, or waits at its slowest.
local function place_queue(q, now, served, own, where)
  local t = own or next_at(q, now)
  if own and q.keys and q.later > 0 then -- one that is scheduled may be of a key that is not blocked
    t = math.min(own, math.max(now, tonumber(redis.call('ZRANGE', K.LATER .. q.name, 0, 0, 'WITHSCORES')[2])))
  end
  if t and (t >= NEVER or q.limits and not limits_there(q, now)) then
    t = nil
  end
  if not t or t > now or not q.limits then
    where = nil
  else
    local costs = not q.keys and head_costs(q) or nil
    where = where or (q.place ~= '' and task_cost(costs, q.place) > 0 and q.place) or slowest(q, now, costs)
  end
  if where and q.place == where and served then -- it stays there, with its new turn
    limit_wait(where, q.index, q.name, q.turn, true)
    return nil
  end
  if q.place ~= '' and q.place ~= where then
    limit_leave(q.place, q.index, q.name, not served and now, q.limits)
  end
  if (where or '') ~= q.place then
    redis.call('HSET', K.QUEUE .. q.name, 'place', where or '')
    q.place = where or ''
  end
  if where then
    redis.call('ZREM', K.DUE .. q.index, q.name)
    limit_wait(where, q.index, q.name, q.turn)
    local l = limit_load(where, now)
    local at, _, again = limit_at(l, q.dear and 0 or 1, q.name, q.turn) -- no later than the true one
    at = at >= NEVER and again or at
    if at >= NEVER then
      return nil
    end
    at = math.max(at, now)
    local score = redis.call('ZSCORE', K.DUE .. q.index, '@' .. where)
    if not score or tonumber(score) > at then
      redis.call('ZADD', K.DUE .. q.index, string.format('%d', at), '@' .. where)
    end
    return at
  end
  if t and t <= now and not served then
    local score = redis.call('ZSCORE', K.DUE .. q.index, q.name)
    if score and tonumber(score) <= now then
      return t
    end
  end
  if t then
    redis.call('ZADD', K.DUE .. q.index, string.format('%d', t), q.name)
  else
    redis.call('ZREM', K.DUE .. q.index, q.name)
  end
  return t
end

-- announce makes sure that somebody comes for a queue's work at the instant t.
local function announce(q, t, now)
  if t then
    announce_at(q.index, q.name, t, now)
  end
end

-- push_waiting puts tasks that became waiting behind the others, in the queue's list or
-- in the lanes of their keys (which are looked up when they are not given).
local function push_waiting(q, ids, keys, now)
  if q.keys then
    if not keys then
      keys = redis.call('HMGET', K.TASKS .. q.name, unpack(ids))
      for i, rec in ipairs(keys) do
        keys[i] = rec and (record_fields(rec)).k or ''
      end
    end
    keys_push(q, ids, keys, now)
  else
    redis.call('RPUSH', K.WAIT .. q.name, unpack(ids))
  end
  q.waiting = q.waiting + #ids
end

-- promote moves up to max tasks whose instant has come from scheduled to waiting,
-- in the order of their instants. True when some are left that should have gone.
local function promote(q, now, max)
  if q.later == 0 or max <= 0 then
    return false
  end
  local ids = redis.call('ZRANGEBYSCORE', K.LATER .. q.name, '-inf', now, 'LIMIT', 0, max)
  if #ids == 0 then
    return false
  end
  redis.call('ZREM', K.LATER .. q.name, unpack(ids))
  push_waiting(q, ids, nil, now)
  q.later = q.later - #ids
  redis.call('HSET', K.QUEUE .. q.name, 'later', q.later, 'waiting', q.waiting)
  return #ids == max
end
