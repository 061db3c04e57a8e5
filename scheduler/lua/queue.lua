-- queue.lua: a queue's state in a script, and its place in the due index.
-- Put in front of the verbs that touch queues.

-- load_queue reads what a decision about a queue needs, or returns nil when
-- there is no such queue. Counters are numbers, settings as stored.
local function load_queue(name)
  local v = redis.call('HMGET', K_QUEUE .. name, 'index', 'rate', 'full_at', 'rem', 'frozen',
    'held', 'waiting', 'running', 'later', 'front', 'seq', 'big', 'work', 'gone')
  if not v[1] then
    return nil
  end
  local q = {
    name = name, index = v[1], full_at = tonumber(v[3]) or 0, rem = tonumber(v[4]) or 0,
    frozen = tonumber(v[5]) or 0, held = v[6] and v[6] ~= '' and v[6], waiting = tonumber(v[7]) or 0,
    running = tonumber(v[8]) or 0, later = tonumber(v[9]) or 0, front = tonumber(v[10]) or 0,
    seq = tonumber(v[11]) or 0, big = tonumber(v[12]) or 0, work = v[13],
    gone = tonumber(v[14]) or 0, -- cancelled tasks that still stand in the list
  }
  if v[2] and v[2] ~= '' then
    local n, p, b = string.match(v[2], '^(%d+) (%d+) (%d+)$')
    q.n, q.p, q.b = tonumber(n), tonumber(p), tonumber(b)
    if not n then
      q.held = 'damaged' -- a rate that cannot be read is not the lack of one
    end
  end
  return q
end

-- token_at returns the earliest instant at which the queue's own limits let one
-- more task start, with its bucket at full_at, rem; 0 when nothing limits it.
local function token_at(q, full_at, rem)
  local at = q.frozen
  if q.n then
    local t = bucket_at(q.n, q.p, q.b, full_at, rem, 1)
    if t > at then
      at = t
    end
  end
  return at
end

-- next_at returns the earliest instant at which it is worth asking for a task of
-- the queue, not before now; nil when it has none or is held (paused, undeclared, damaged).
local function next_at(q, now)
  if q.held then
    return nil
  end
  local t = now
  if q.waiting == 0 then
    if q.later == 0 then
      return nil
    end
    local first = redis.call('ZRANGE', K_LATER .. q.name, 0, 0, 'WITHSCORES')
    if tonumber(first[2]) > t then
      t = tonumber(first[2])
    end
  end
  local at = token_at(q, q.full_at, q.rem)
  if at > t then
    t = at
  end
  return t
end

-- index_queue writes the queue's one place in the due index, and returns it. One that
-- is ready keeps its turn: only a claim that has served it (served) moves it behind.
local function index_queue(q, now, served)
  local t = next_at(q, now)
  if t and t <= now and not served then
    local score = redis.call('ZSCORE', K_DUE .. q.index, q.name)
    if score and tonumber(score) <= now then
      return t
    end
  end
  if t then
    redis.call('ZADD', K_DUE .. q.index, t, q.name)
  else
    redis.call('ZREM', K_DUE .. q.index, q.name)
  end
  return t
end

-- promote moves up to max tasks whose instant has come from scheduled to waiting,
-- in the order of their instants. True when some are left that should have gone.
local function promote(q, now, max)
  if q.later == 0 or max <= 0 then
    return false
  end
  local ids = redis.call('ZRANGEBYSCORE', K_LATER .. q.name, '-inf', now, 'LIMIT', 0, max)
  if #ids == 0 then
    return false
  end
  redis.call('ZREM', K_LATER .. q.name, unpack(ids))
  redis.call('RPUSH', K_WAIT .. q.name, unpack(ids))
  q.later = q.later - #ids
  q.waiting = q.waiting + #ids
  redis.call('HSET', K_QUEUE .. q.name, 'later', q.later, 'waiting', q.waiting)
  return #ids == max
end
