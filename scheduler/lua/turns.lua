-- turns.lua: named limits serve the queues that wait at them, by turn. In front of
-- claim.lua, behind supply.lua.
--
-- A limit that a claim has opened has
--   line    queues that wait at it, least turn first: {turn, name, index}; more may follow
--           in Redis behind the turn seen
--   others  first queues of indexes that this claim does not serve, where somebody idle
--           does
--   head    its first queue that it has no room for: {cost, name, turn, not before}
--   done    nothing more comes of it in this round
-- An index of the claim is {base, only, h = its handler's slots, quota = how many of them
-- limits may use in this round}.

local KEPT = 2000000 -- µs for which a slower limit keeps its tokens for a queue
local PATIENCE = 5000 -- µs by which a queue that another worker serves may be behind
local opened = {} -- limits, in the order of their opening
local wakes = {} -- {index, queue} to be told

-- Made only where a claim meets a limit at which queues wait.
local line_add, line_read, open_limit, line_first, leave_token, older_waits, first_grant,
  version, serve_limits, save_limits

local function use_turns()
  if line_add then
    return
  end

  -- line_add puts a queue into the line by its turn.
  function line_add(l, turn, name, index)
    local i = #l.line
    while i > 0 and l.line[i][1] > turn do
      l.line[i + 1] = l.line[i]
      i = i - 1
    end
    l.line[i + 1] = {turn, name, index}
    l.done, l.known, l.ver = false, nil, l.ver + 1
  end

  -- line_read reads the next chunk of those that wait, of each index.
  function line_read(l, n)
    l.seen = math.huge
    for _, r in ipairs(l.reads) do
      if not r.done then
        local got = redis.call('ZRANGE', K.WAITERS .. l.name .. ':' .. r.index.base, r.from, r.from + n - 1, 'WITHSCORES')
        for i = 1, #got, 2 do
          line_add(l, tonumber(got[i + 1]), got[i], r.index)
        end
        r.from = r.from + #got / 2
        r.done = #got / 2 < n
        if not r.done then
          l.seen = math.min(l.seen, tonumber(got[#got]))
        end
      end
    end
  end

  -- open_limit reads who waits at a limit, for the indexes of this claim.
  function open_limit(name, c)
    local l = limit_load(name, c.now)
    if not l or l.line then
      return l
    end
    l.line, l.reads, l.others, l.seen = {}, {}, {}, math.huge
    opened[#opened + 1] = l
    for _, base in ipairs(redis.call('SMEMBERS', K.WAITED .. name)) do
      local mine
      for _, index in ipairs(c.indexes) do
        if index.base == base and index.h.slots > 0 then
          mine = mine or index
          if index.only == '' then
            l.reads[#l.reads + 1] = {index = index, from = 0}
            mine = index
            break
          end
          local turn = redis.call('ZSCORE', K.WAITERS .. name .. ':' .. base, index.only)
          if turn then
            line_add(l, tonumber(turn), index.only, index)
          end
        end
      end
      if not mine then
        local turn, queue = limit_idle(name, base)
        if turn then
          l.others[#l.others + 1] = {turn + PATIENCE, base, queue}
        end
      end
    end
    if #l.reads > 0 then
      line_read(l, math.min(c.most, 4 + math.max(0, buckets_left(l.b, c.now + c.ahead) or 28)))
    end
    return l
  end

  -- line_first returns the first in line whose handler has a slot, and its place in it.
  function line_first(l, n)
    while true do
      for i, e in ipairs(l.line) do
        if e[1] > l.seen then
          break
        end
        if e[3].quota > 0 and e[3].h.slots > 0 then
          return e, i
        end
      end
      if l.seen == math.huge then
        return nil
      end
      line_read(l, n)
    end
  end

  -- leave_token tells whether a queue of an index that this claim does not serve goes
  -- first; its worker is told, and the token is left to it.
  function leave_token(l, turn, at, now)
    for _, o in ipairs(l.others) do
      if o[1] < turn and limit_at(l, 2, '', turn) > math.max(at, now) then
        wakes[#wakes + 1] = {o[2], o[3]}
        return true
      end
    end
    return false
  end

  -- older_waits tells whether a queue with an older turn waits at the limit.
  function older_waits(l, turn)
    local e = line_first(l, 16)
    for _, o in ipairs(l.others) do
      if o[1] < turn then
        return true
      end
    end
    return e and e[1] < turn
  end

  -- first_grant finds out what the first queue in line can do: it returns the queue, its
  -- task and the instant, or nil when the limit is done. A queue that cannot use its turn
  -- here leaves the line: for its own place, or for another limit that blocks it.
  function first_grant(l, n, by, c)
    while true do
      local e, i = line_first(l, n)
      l.head = nil
      if not e then
        l.done = true
        return nil
      end
      if #c.loaded >= MAX_QUEUES and c.loaded[e[2]] == nil then
        l.done = true -- there is room: the next claim goes on
        return nil
      end
      local q = open_queue(c.loaded, e[2], e[3].base, c.now)
      local t, own
      if q then
        t, own = candidate(q, n, by, c.now)
      end
      local cost = t and task_cost(t.costs, l.name)
      if not t or own > by or own > c.now and not reserved(q, t, own) then
        table.remove(l.line, i)
        if q then
          q.where, q.own, q.left = nil, own, true
        else
          c.strays[#c.strays + 1] = {l.name, e[3].base, e[2]}
        end
      else
        local at, why = own, nil
        if cost > 0 then
          at, why = limit_at(l, cost, q.name, q.turn)
        end
        l.head = {cost, q.name, q.turn, 0}
        if at > by then
          l.done = true
          return nil
        end
        if leave_token(l, q.turn, at, c.now) then
          l.head[4], l.done = c.now + 20000, true -- whoever was told has come by then
          return nil
        end
        at = math.max(at, own)
        -- the other limits of its set
        local to, worst
        for _, name in ipairs(q.limits) do
          local m = name ~= l.name and task_cost(t.costs, name) > 0 and open_limit(name, c)
          if m then
            local a, w = limit_at(m, task_cost(t.costs, name), q.name, q.turn)
            if a > c.now and a <= by and older_waits(m, q.turn) then
              a, w = by + 1, 'turn'
            end
            if a > by and (not worst or a > worst) then
              to, worst, why = m, a, w
            end
            at = math.max(at, a)
          end
        end
        if to then
          table.remove(l.line, i)
          q.where = to.name
          if cost > 0 and (why == 'rate' or why == 'turn') then
            l.keep = {cost = cost, till = c.now + KEPT, queue = q.name}
            l.changed, l.ver = true, l.ver + 1
          end
          line_add(to, q.turn, q.name, e[3])
          c.moves = c.moves + 1
        elseif at > c.now and not reserved(q, t, at) then
          l.head[4], l.done = at, true
          return nil
        else
          return q, t, at, i, e[3]
        end
      end
    end
  end

  -- version of the limits of a queue: what was found out holds while it stays.
  function version(q)
    local sum = 0
    for _, name in ipairs(q.limits) do
      local l = limits_read[name]
      sum = sum + (l and l.ver or 0)
    end
    return sum
  end

  -- serve_limits grants tasks of the queues that wait at limits, in the order of the
  -- instants at which they can start, with equal instants by turn, while their indexes have
  -- slots left for it.
  function serve_limits(by, c)
    for _, l in ipairs(opened) do
      l.done, l.known = false, nil
    end
    while claim.room > 0 and c.most > 0 do
      local best
      local i = 1
      while i <= #opened do -- more may be opened meanwhile
        local l = opened[i]
        if not l.done and not (l.known and l.known.ver == version(l.known.q) + l.ver) then
          local n = math.min(c.most, math.max(1, buckets_left(l.b, by) or c.most))
          n = math.ceil(n / math.max(1, #l.line)) -- tasks of one queue that are likely to be granted
          local q, t, at, place, index = first_grant(l, n, by, c)
          l.known = q and {q = q, t = t, at = at, place = place, index = index, ver = version(q) + l.ver, l = l}
        end
        local k = not l.done and l.known
        if k and (not best or k.at < best.at or k.at == best.at and k.q.turn < best.q.turn) then
          best = k
        end
        i = i + 1
      end
      if not best then
        return
      end
      local q, t, at, l = best.q, best.t, best.at, best.l
      if #t.rec > claim.room and claim.total > 0 then
        claim.room = 0
        return
      end
      table.remove(l.line, best.place)
      for _, name in ipairs(q.limits) do
        local m = limits_read[name]
        local cost = m and task_cost(t.costs, name) or 0
        if cost > 0 then
          buckets_debit(m.b, at, cost)
          m.running, m.spent, m.ver, m.changed = m.running + 1, m.spent + cost, m.ver + 1, true
          if m.keep and m.keep.queue == q.name then
            m.keep, m.done = nil, false
          end
        end
      end
      q.turn = c.fence + claim.total
      take(q, t, at, c.now)
      best.index.quota, best.index.h.slots, c.most = best.index.quota - 1, best.index.h.slots - 1, c.most - 1
      l.known, l.ver = nil, l.ver + 1
      local following = q.dear and candidate(q, 1, by, c.now)
      q.where, q.own, q.left = slowest(q, c.now, following and following.costs), nil, nil
      if q.where then
        line_add(open_limit(q.where, c), q.turn, q.name, best.index)
      else
        q.left = true
      end
    end
  end

  -- save_limits writes the limits that the claim changed, and when they have room again.
  function save_limits(now)
    for _, l in pairs(limits_read) do
      if l and l.changed then
        limit_save(l)
        if l.spent > 0 then
          redis.call('HINCRBY', K.LIMIT .. l.name, 'spent', l.spent)
        end
      end
      if l and (l.changed or l.line) then
        local h = l.head or {1, '', 0, 0}
        limit_place(l, now, math.max(limit_at(l, h[1], h[2], h[3]), h[4]))
      end
    end
  end
end
