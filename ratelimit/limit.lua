-- limit.lua: a named limit, and the queues that wait at it. Put in front of a script,
-- after buckets.lua and wake.lua.
--
-- The hash {ns}:l:<name>:
--   rate, bucket, over, frozen  as buckets.lua has them; over is an override
--   cap, running                most tasks at once (0: no cap), and those there are
--   debt                        how far below zero an actual cost may go
--   keep                        "cost until queue": what is kept for a queue that waits at
--                               a faster limit meanwhile
--   ask                         "cost until": what a take is waiting for
--   turn                        of the last take, as the turns of queues
--   spent, wasted, credited, owed, cut   counters, in tokens
--   d_rate, d_cap, d_debt, owner, undeclared   as a file declares it
--   edit                        the last change by hand, "instant TAB who TAB what"

local limits_read = {}

-- A script makes its functions anew with each call, so these are made only where there are
-- limits: whoever meets one calls use_limits.
local limit_load, limit_save, limit_at, limit_place, limit_announce, limit_wait, limit_leave,
  limit_idle, log_edit

local function use_limits()
  if limit_load then
    return
  end

  -- limit_load returns the limit, read once in a script, or false when there is none.
  function limit_load(name, now)
    local l = limits_read[name]
    if l ~= nil then
      return l
    end
    local v = redis.call('HMGET', K.LIMIT .. name, 'rate', 'bucket', 'over', 'frozen', 'cap', 'running', 'debt',
      'keep', 'ask', 'turn')
    l = false
    if v[1] then
      l = {
        name = name, b = buckets_read(v[1], v[2], v[3], v[4], now), cap = tonumber(v[5]) or 0,
        running = tonumber(v[6]) or 0, debt = tonumber(v[7]) or 0, turn = tonumber(v[10]) or 0, ver = 0, spent = 0,
      }
      if v[8] and v[8] ~= '' then
        local c, till, queue = string.match(v[8], '^(%d+) (%d+) (.*)$')
        l.keep = tonumber(till) > now and {cost = tonumber(c), till = tonumber(till), queue = queue} or nil
      end
      if v[9] and v[9] ~= '' then
        local c, till = string.match(v[9], '^(%d+) (%d+)$')
        l.ask = tonumber(till) > now and {cost = tonumber(c), till = tonumber(till)} or nil
      end
    end
    limits_read[name] = l
    return l
  end

  -- limit_save writes the state of the limit, with further fields and values.
  function limit_save(l, ...)
    if l.b.reverted then
      redis.call('HDEL', K.LIMIT .. l.name, 'over')
    end
    redis.call('HSET', K.LIMIT .. l.name, 'bucket', buckets_text(l.b), 'frozen', string.format('%.0f', l.b.frozen),
      'running', l.running,
      'keep', l.keep and string.format('%.0f %.0f %s', l.keep.cost, l.keep.till, l.keep.queue) or '',
      'ask', l.ask and string.format('%.0f %.0f', l.ask.cost, l.ask.till) or '',
      'turn', string.format('%.0f', l.turn), ...)
  end

  -- limit_at returns the earliest instant at which the limit has room for c tokens of a
  -- queue with this turn, and what blocks until then. What is kept for another queue, and
  -- what a take with an older turn asks for, is not there for it.
  function limit_at(l, c, queue, turn)
    if c == 0 then
      return 0 -- not under it
    elseif l.cap > 0 and l.running >= l.cap then
      return NEVER, 'concurrency'
    end
    local at = buckets_at(l.b, c)
    local why = at == NEVER and 'never' or l.b.frozen >= at and 'frozen' or 'rate'
    local others, till = 0, 0
    if l.keep and l.keep.queue ~= queue then
      others, till = l.keep.cost, l.keep.till
    end
    if l.ask and l.turn < turn then
      others, till = others + l.ask.cost, math.max(till, l.ask.till)
    end
    if others > 0 and at < till then
      at = math.min(buckets_at(l.b, c + others), till)
    end
    return at, why
  end

  -- limit_place writes the instant at which the limit has room for the first that waits
  -- into the due index of each index in which queues wait at it. Without an instant it is
  -- that for one token: no later than the true one. True where queues wait.
  function limit_place(l, now, at)
    local indexes = redis.call('SMEMBERS', K.WAITED .. l.name)
    if #indexes == 0 then
      return false
    end
    at = at or limit_at(l, 1, '', 0)
    for _, index in ipairs(indexes) do
      if at >= NEVER then
        redis.call('ZREM', K.DUE .. index, '@' .. l.name)
      else
        redis.call('ZADD', K.DUE .. index, string.format('%.0f', math.max(at, now)), '@' .. l.name)
      end
    end
    return true, at
  end

  -- limit_announce places the limit and makes sure that somebody comes then.
  function limit_announce(l, now)
    local waited, at = limit_place(l, now)
    if not waited or at >= NEVER then
      return
    end
    for _, index in ipairs(redis.call('SMEMBERS', K.WAITED .. l.name)) do
      local first = redis.call('ZRANGE', K.WAITERS .. l.name .. ':' .. index, 0, 0)
      announce_at(index, first[1], at, now)
    end
  end

  -- limit_wait has a queue wait at the limit, by its turn (known: it has waited there
  -- already); limit_leave takes it away.
  function limit_wait(name, index, queue, turn, known)
    redis.call('ZADD', K.WAITERS .. name .. ':' .. index, string.format('%.0f', turn), queue)
    if not known then
      redis.call('SADD', K.WAITED .. name, index)
    end
  end

  function limit_leave(name, index, queue)
    local key = K.WAITERS .. name .. ':' .. index
    redis.call('ZREM', key, queue)
    if redis.call('EXISTS', key) == 0 then
      redis.call('SREM', K.WAITED .. name, index)
      redis.call('ZREM', K.DUE .. index, '@' .. name)
    end
  end

  -- limit_idle tells whether somebody with free slots serves the first that waits at the
  -- limit in this index; it returns the turn and the name of that queue, or nil.
  function limit_idle(name, index)
    local first = redis.call('ZRANGE', K.WAITERS .. name .. ':' .. index, 0, 0, 'WITHSCORES')
    if first[1] and (redis.call('ZCARD', K.IDLE .. index) > 0 or redis.call('ZCARD', K.IDLE .. index .. '=' .. first[1]) > 0) then
      return tonumber(first[2]), first[1]
    end
  end

  -- log_edit notes a change by hand in the log of edits, and at its object if there is one.
  function log_edit(key, now, by, what)
    local line = string.format('%.0f\t%s\t%s', now, by, what)
    if key then
      redis.call('HSET', key, 'edit', line)
    end
    redis.call('LPUSH', K.EDITS, line)
    redis.call('LTRIM', K.EDITS, 0, 999)
  end
end
