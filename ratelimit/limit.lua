-- limit.lua: a named limit, and the queues that wait at it. Put in front of a script,
-- after buckets.lua and wake.lua.
--
-- The hash {ns}:l:<name>:
--   rate, bucket, over, frozen  as buckets.lua has them; over is an override
--   cap, running                most tasks at once (0: no cap), and those there are
--   debt                        how far below zero an actual cost may go
--   keep                        the queue that goes before others here while it is first at
--                               another limit: "turn since moves place index queue", then
--                               " limit=cost" for each of its set
--   ask                         "cost instant": what a take is waiting for, and when it was
--                               told to come again
--   turn                        of the last take, as the turns of queues
--   ahead, gave                 the latest start that was granted; 1 once a task cost less
--                               than it was granted
--   head                        "cost queue" of the first that waits, where it costs more than a token
--   spent, wasted, credited, owed, cut   counters, in tokens
--   d_rate, d_cap, d_debt, owner, undeclared   as a file declares it
--   edit                        the last change by hand, "instant TAB who TAB what"

local limits_read = {}
local serving = {} -- indexes that the claim under way serves
local PATIENCE = 2000000 -- µs for which a place, or what a take asked for, is kept
local ASK_LATE = 25000 -- µs by which a take may be late at least

-- A script makes its functions anew with each call, so these are made only where there are
-- limits: whoever meets one calls use_limits.
local limit_load, limit_save, limit_charge, keep_read, keep_holds, limit_kept, limit_beside, limit_at, limit_place,
  limit_announce, limit_wait, limit_leave, limit_idle, log_edit

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
      'keep', 'ask', 'turn', 'ahead', 'gave', 'spent', 'head')
    l = false
    if v[1] then
      l = {
        name = name, now = now, b = buckets_read(v[1], v[2], v[3], v[4], now), cap = tonumber(v[5]) or 0,
        running = tonumber(v[6]) or 0, debt = tonumber(v[7]) or 0, turn = tonumber(v[10]) or 0,
        ahead = tonumber(v[11]) or 0, gave = v[12] == '1', ver = 0, spent = 0,
      }
      l.stored = {keep = v[8] or '', ask = v[9] or '', ahead = l.ahead, spent = tonumber(v[13]) or 0, head = v[14] or ''}
      l.keep = v[8] and v[8] ~= '' and keep_read(v[8]) or nil
      if v[9] and v[9] ~= '' then
        local c, at = string.match(v[9], '^(%d+) (%d+)$')
        l.ask = tonumber(at) + PATIENCE > now and {cost = tonumber(c), at = tonumber(at)} or nil
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
    redis.call('HSET', K.LIMIT .. l.name, 'bucket', buckets_text(l.b), 'frozen', string.format('%d', l.b.frozen),
      'running', l.running,
      'keep', l.keep and l.keep.text or '',
      'ask', l.ask and string.format('%d %d', l.ask.cost, l.ask.at) or '',
      'turn', string.format('%d', l.turn), 'ahead', string.format('%d', l.ahead), 'gave', l.gave and 1 or 0, ...)
  end

  -- limit_charge writes what a claim changed, mostly the bucket, and counts what was spent.
  function limit_charge(l)
    local was, spent = l.stored, string.format('%d', l.stored.spent + l.spent)
    if l.b.reverted or was.ahead ~= l.ahead or was.keep ~= (l.keep and l.keep.text or '') or was.ask ~= '' then
      limit_save(l, 'spent', spent)
    else
      redis.call('HSET', K.LIMIT .. l.name, 'bucket', buckets_text(l.b), 'running', string.format('%d', l.running), 'spent', spent)
    end
  end

  function keep_read(text)
    local turn, since, moves, place, index, queue, rest = string.match(text, '^(%d+) (%d+) (%d+) (%S+) (%S+) (%S+)(.*)$')
    if not turn then
      return nil -- of another version
    end
    local k = {text = text, turn = tonumber(turn), since = tonumber(since), moves = tonumber(moves), place = place,
      index = index, queue = queue, costs = {}}
    for name, c in string.gmatch(rest, ' ([^=]+)=(%d+)') do
      k.costs[name] = tonumber(c)
    end
    return k
  end

  -- keep_holds tells whether the queue is still first where it waits, and may be served by
  -- somebody.
  function keep_holds(k)
    if k.holds == nil then
      local first = redis.call('ZRANGE', K.WAITERS .. k.place .. ':' .. k.index, 0, 0, 'WITHSCORES')
      k.holds = first[1] == k.queue and tonumber(first[2]) == k.turn
        and (serving[k.index] or redis.call('ZCARD', K.IDLE .. k.index) > 0
          or redis.call('ZCARD', K.IDLE .. k.index .. '=' .. k.queue) > 0)
    end
    return k.holds
  end

  -- limit_kept is what the limit leaves to others whose turn is older than this one: to the
  -- queue that is first at another limit, and to a take that has asked. It returns nil, or
  --   tokens, places
  --   by      when they need them: tokens that are there again by then may be taken
  --   lapsed  kept only beside what others need
  --   again   the next instant at which that changes
  -- When a rate has tokens is known. When a place will be free is not: for that, tokens are
  -- kept no longer than they take to come again, and places for a while that grows with
  -- each move of the queue.
  function limit_kept(l, queue, turn)
    local now, k, kept = l.now, l.keep, nil
    if k and k.queue ~= queue and k.turn < turn and k.costs[l.name] and keep_holds(k) then
      local c, by = k.costs[l.name], now
      for name, cost in pairs(k.costs) do
        local m = name == l.name and l or limit_load(name, now)
        if m then
          by = math.max(by, m.cap > 0 and m.running >= m.cap and NEVER or buckets_at(m.b, cost))
        end
      end
      local patience = PATIENCE * 2 ^ math.min(math.max(k.moves - 1, 0), 20)
      kept = {tokens = c, places = 0, by = by, lapsed = false, again = by}
      if by < NEVER then
        local p = limit_load(k.place, now)
        kept.places = by - now <= patience and 1 or 0
        kept.lapsed = p and k.moves == 0 and by > now and buckets_at(p.b, k.costs[k.place] or 1) == by
        kept.again = math.max(by, now + 1000)
      else
        local pace, till = k.since + buckets_pace(l.b, c), k.since + patience
        kept.by, kept.lapsed, kept.places = now, now >= pace, now < till and 1 or 0
        kept.again = now < pace and now < till and math.min(pace, till) or now < pace and pace or now < till and till or NEVER
      end
    end
    local a = l.ask
    if a and l.turn <= turn then
      local late = a.at + math.max(buckets_pace(l.b, a.cost), ASK_LATE)
      local again = now < a.at and a.at or now < late and late or a.at + PATIENCE
      if kept then
        kept.by, kept.lapsed, kept.again = math.min(kept.by, a.at), kept.lapsed and now >= late, math.min(kept.again, again)
        kept.tokens = kept.tokens + a.cost
      else
        kept = {tokens = a.cost, places = 0, by = math.max(a.at, now), lapsed = now >= late, again = again}
      end
    end
    return kept
  end

  -- limit_beside tells whether the limit can give c tokens at an instant: what it keeps is
  -- there again when it is needed.
  function limit_beside(l, kept, at, c)
    local burst = buckets_burst(l.b)
    if not burst or kept.lapsed and c + kept.tokens > burst then
      return true
    elseif at >= NEVER or l.b.till and at >= l.b.till then
      return false
    end
    local after = buckets_copy(l.b)
    buckets_debit(after, at, c)
    return buckets_at(after, kept.tokens) <= kept.by
  end

  -- limit_at returns the earliest instant at which the limit has room for c tokens of a
  -- queue with this turn, what blocks until then, and where that is NEVER for the sake of
  -- others, the instant worth asking again.
  function limit_at(l, c, queue, turn)
    if c == 0 then
      return 0 -- not under it
    elseif l.cap > 0 and l.running >= l.cap then
      return NEVER, 'concurrency'
    end
    local at = buckets_at(l.b, c)
    local why = at == NEVER and 'never' or l.b.frozen >= at and 'frozen' or 'rate'
    if not l.keep and not l.ask then
      return at, why
    end
    local kept = limit_kept(l, queue, turn)
    if not kept then
      return at, why
    end
    local again = math.min(kept.again, l.b.till or NEVER) -- the burst of an override ends with it
    if l.cap > 0 and l.running + kept.places >= l.cap then
      return NEVER, 'turn', again
    elseif limit_beside(l, kept, math.max(at, l.now), c) then
      return at, why
    elseif c + kept.tokens <= buckets_burst(l.b) then
      return buckets_at(l.b, c + kept.tokens), 'turn', again
    end
    return NEVER, 'turn', again
  end

  -- limit_place writes the instant at which the limit has room for the first that waits
  -- into the due index of each index in which queues wait at it. Without an instant it is
  -- that for one token: no later than the true one. The index of that first one is given
  -- where the others are not to wait as long: if nobody serves it any more, they go on.
  -- True where queues wait.
  function limit_place(l, now, at, index)
    local indexes = redis.call('SMEMBERS', K.WAITED .. l.name)
    if #indexes == 0 then
      return false
    end
    at = at or limit_at(l, 1, '', -1)
    local others = at
    if index and #indexes > 1 and at < NEVER then
      local look = now + math.max(PATIENCE, math.floor((at - now) / 16))
      others = math.min(at, math.max(look, (limit_at(l, 1, '', -1))))
    end
    for _, base in ipairs(indexes) do
      local t = base == l.told and now or base == index and at or others
      if t >= NEVER then
        redis.call('ZREM', K.DUE .. base, '@' .. l.name)
      else
        redis.call('ZADD', K.DUE .. base, string.format('%d', math.max(t, now)), '@' .. l.name)
      end
    end
    return true, at
  end

  -- limit_announce places the limit and makes sure that somebody comes then; now for the
  -- queue that is kept for, where another limit may have waited for this one.
  function limit_announce(l, now)
    local k = l.keep
    if k and keep_holds(k) then
      redis.call('ZADD', K.DUE .. k.index, string.format('%d', now), '@' .. k.place)
      announce_at(k.index, k.queue, now, now)
    end
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
  -- already); limit_leave takes it away. Outside of a claim (now is given) the limit is
  -- placed anew: where that queue was first, what it waited for is nothing to the next. So
  -- are those of its set that keep something for it.
  function limit_wait(name, index, queue, turn, known)
    redis.call('ZADD', K.WAITERS .. name .. ':' .. index, string.format('%d', turn), queue)
    if not known then
      redis.call('SADD', K.WAITED .. name, index)
    end
  end

  function limit_leave(name, index, queue, now, set)
    local key = K.WAITERS .. name .. ':' .. index
    local first = now and redis.call('ZRANK', key, queue) == 0
    redis.call('ZREM', key, queue)
    if redis.call('EXISTS', key) == 0 then
      redis.call('SREM', K.WAITED .. name, index)
      redis.call('ZREM', K.DUE .. index, '@' .. name)
    end
    if not first then
      return
    end
    for _, other in ipairs(set or {}) do
      local l = other ~= name and limit_load(other, now)
      if l and l.keep and l.keep.queue == queue then
        l.keep, l.stored.keep = nil, ''
        redis.call('HSET', K.LIMIT .. other, 'keep', '')
        limit_announce(l, now)
      end
    end
    local l = limit_load(name, now)
    if l then
      limit_announce(l, now)
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
    local line = string.format('%d\t%s\t%s', now, by, what)
    if key then
      redis.call('HSET', key, 'edit', line)
    end
    redis.call('LPUSH', K.EDITS, line)
    redis.call('LTRIM', K.EDITS, 0, 999)
  end
end
