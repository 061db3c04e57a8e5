-- turns.lua: named limits serve the queues that wait at them, by turn. In front of
-- claim.lua, behind supply.lua. docs/decisions/0002 says what the rules are for, and
-- scheduler/model has them without indexes.
--
-- A limit that a claim has opened has
--   line    queues that wait at it, least turn first: {turn, name, index}; more may follow
--           in Redis
--   others  first queues of indexes that this claim does not serve, where somebody idle
--           does
--   head    its first queue, that it does not serve yet: {cost, name, turn, not before, index}
--   told    the index of a queue that goes first, whose worker was told
--   done    nothing more comes of it in this round
--   left    how many queues went from it to other limits
-- An index of the claim is {base, only, h = its handler's slots, quota = how many of them
-- limits may use in this round}.

local PATIENCE_ELSEWHERE = 5000 -- µs by which a queue that another worker serves may be behind
local MAX_LEFT = 4 -- queues that go from one limit in a claim
local opened = {} -- limits, in the order of their opening
local wakes = {} -- {index, queue} to be told

-- Made only where a claim meets a limit at which queues wait.
local line_add, line_more, open_limit, line_first, leave_token, impossible, start_of, older_done,
  keep_for, held_up, first_grant, version, grant, alone, grant_more, serve_limits, save_limits

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

  -- line_more reads the next chunk of those that wait, of each index that has slots left;
  -- false when there is none.
  function line_more(l, n)
    local more = false
    for _, r in ipairs(l.reads) do
      if not r.done and r.index.quota > 0 and r.index.h.slots > 0 then
        local got = redis.call('ZRANGE', K.WAITERS .. l.name .. ':' .. r.index.base, r.from, r.from + n - 1, 'WITHSCORES')
        for i = 1, #got, 2 do
          line_add(l, tonumber(got[i + 1]), got[i], r.index)
        end
        r.from, r.seen = r.from + #got / 2, tonumber(got[#got])
        r.done, more = #got / 2 < n, true
      end
    end
    return more
  end

  -- open_limit reads who waits at a limit, for the indexes of this claim.
  function open_limit(name, c)
    local l = limit_load(name, c.now)
    if not l or l.line then
      return l
    end
    l.line, l.reads, l.others, l.left = {}, {}, {}, 0
    opened[#opened + 1] = l
    for _, base in ipairs(redis.call('SMEMBERS', K.WAITED .. name)) do
      local mine
      for _, index in ipairs(c.indexes) do
        if index.base == base and index.h.slots > 0 then
          mine = index
          if index.only == '' then
            l.reads[#l.reads + 1] = {index = index, from = 0, seen = -1}
            break
          end
          local turn = redis.call('ZSCORE', K.WAITERS .. name .. ':' .. base, index.only)
          if turn then
            line_add(l, tonumber(turn), index.only, index)
          end
        end
      end
      if not mine or mine.only ~= '' then
        local turn, queue = limit_idle(name, base)
        if turn and not (mine and mine.only == queue) then
          l.others[#l.others + 1] = {turn + PATIENCE_ELSEWHERE, base, queue}
        end
      end
    end
    return l
  end

  -- line_first returns the first in line whose handler has a slot, and its place in it.
  function line_first(l, n)
    while true do
      local seen = math.huge
      for _, r in ipairs(l.reads) do
        if not r.done and r.index.quota > 0 and r.index.h.slots > 0 then
          seen = math.min(seen, r.seen)
        end
      end
      for i, e in ipairs(l.line) do
        if e[1] > seen then
          break
        end
        if e[3].quota > 0 and e[3].h.slots > 0 then
          return e, i
        end
      end
      if seen == math.huge or not line_more(l, n) then
        return nil
      end
    end
  end

  -- leave_token tells whether a queue of an index that this claim does not serve goes
  -- first, and the limit has not enough for both; its worker is told, and the tokens are left
  -- to it.
  function leave_token(l, turn, cost, at, now)
    local dear, queue = string.match(l.stored.head, '^(%d+) (.*)$')
    for _, o in ipairs(l.others) do
      local first = o[3] == queue and tonumber(dear) or 1
      if o[1] < turn and limit_at(l, cost + first, '', turn) > math.max(at, now) then
        wakes[#wakes + 1] = {o[2], o[3]}
        l.told = o[2] -- there it is due at once
        return true
      end
    end
    return false
  end

  -- impossible returns the instant from which a task is within the capacities of all its
  -- named limits, where it is not now, and one that stands against it; else nil.
  function impossible(q, t, by)
    local at, which = 0, nil
    for _, name in ipairs(q.limits) do
      local c = task_cost(t.costs, name)
      local possible = c > 1 and buckets_possible(limit_load(name, 0).b, c) or 0
      if possible > by and possible > at then
        at, which = possible, name
      end
    end
    return which and at, which
  end

  -- start_of returns the earliest instant at which all limits of a task have room for it,
  -- and the named one that comes to it last, nil for the queue's own.
  function start_of(q, t, own, c)
    local at, last = math.max(c.now, own), nil
    for _, name in ipairs(q.limits) do
      local cost = task_cost(t.costs, name)
      local m = cost > 0 and open_limit(name, c)
      local room = m and limit_at(m, cost, q.name, q.turn) or 0
      if room > at then
        at, last = room, m
      end
    end
    return at, last
  end

  -- older_done returns another limit of the queue's set that waits for one with an older
  -- turn.
  function older_done(q, t, l, c)
    for _, name in ipairs(q.limits) do
      local m = name ~= l.name and task_cost(t.costs, name) > 0 and open_limit(name, c)
      if m and m.done and m.head and m.head[3] < q.turn then
        return m
      end
    end
  end

  -- keep_for has the other limits of a queue's set keep its cost, while it is first at this
  -- one; for the oldest, where several need it.
  function keep_for(q, t, l, c)
    local out, first = {}, line_first(l, 1)
    for _, name in ipairs(q.limits) do
      local cost = task_cost(t.costs, name)
      if cost > 0 then
        out[#out + 1] = string.format(' %s=%d', name, cost)
      end
    end
    local text = string.format('%d %d %d %s %s %s', q.turn, q.since, q.moves, l.name, q.index, q.name) .. table.concat(out)
    for _, name in ipairs(q.limits) do
      local m = limits_read[name]
      local k = m.keep
      local mine = k and k.queue == q.name
      if m == l or task_cost(t.costs, name) == 0 or not first or first[2] ~= q.name then
        if mine then
          m.keep, m.changed, m.ver = nil, true, m.ver + 1
        end
      elseif (not k or mine or k.turn > q.turn or not keep_holds(k)) and not (k and k.text == text) then
        m.keep = keep_read(text)
        m.keep.holds, m.changed, m.ver = true, true, m.ver + 1
      end
    end
  end

  -- held_up decides what becomes of the first queue of l where another limit, m, holds it
  -- up. If whoever is first there needs l too, and gets there no later than its cost comes
  -- again at l, then l waits for it, and loses nothing. Else the queue moves there, and l
  -- goes on with those behind it; true. Where l has no rate, the pace is that of m.
  function held_up(q, t, at, l, m, n, i, e, c)
    local first, cost, there = at, task_cost(t.costs, l.name), task_cost(t.costs, m.name)
    local f = line_first(m, 1)
    if f and f[1] < q.turn then
      local o = #c.loaded < MAX_QUEUES and open_queue(c.loaded, f[2], f[3].base, c.now) or c.loaded[f[2]]
      local ot, own
      if o then
        ot, own = candidate(o, n, c.now + c.ahead, c.now)
      end
      cost = 0
      if ot then
        for _, name in ipairs(o.limits or {}) do
          cost = name == l.name and task_cost(ot.costs, name) or cost
        end
        there = task_cost(ot.costs, m.name)
        first = start_of(o, ot, own, c)
      end
    end
    local pace = #l.b > 0 and buckets_pace(l.b, cost) or buckets_pace(m.b, there)
    local from = math.max(c.now, (limit_at(l, task_cost(t.costs, l.name), q.name, q.turn)))
    if cost > 0 and first > c.now and first - from <= pace then
      l.head[4], l.done = first, true
      return false
    elseif l.left >= MAX_LEFT then
      l.head[4], l.done = c.now + math.max(1000, pace), true
      return false
    end
    table.remove(l.line, i)
    l.left, c.moves = l.left + 1, c.moves + 1
    q.where, q.moves, q.since = m.name, q.moves + 1, c.now
    line_add(m, q.turn, q.name, e[3])
    keep_for(q, t, m, c)
    return true
  end

  -- first_grant finds out what the first queue in line can do: it returns the queue, its
  -- task and the instant, or nil when the limit is done. A queue that cannot use its turn
  -- here leaves the line: for its own place, or for another limit that blocks it.
  function first_grant(l, n, by, c)
    while true do
      local e, i = line_first(l, n)
      l.head = nil
      if not e or #c.loaded >= MAX_QUEUES and c.loaded[e[2]] == nil then -- the next claim goes on
        l.done = true
        return nil
      end
      local q = open_queue(c.loaded, e[2], e[3].base, c.now)
      local t, own
      if q then
        t, own = candidate(q, math.min(n, e[3].quota, e[3].h.slots), by, c.now)
      end
      local never, which = nil, nil
      if t then
        never, which = impossible(q, t, by)
      end
      if never and q.keys then
        key_aside(t.list, never, c.now)
      elseif not t or never or own > by or own > c.now and not reserved(q, t, own) then
        table.remove(l.line, i)
        if not q then
          c.strays[#c.strays + 1] = {l.name, e[3].base, e[2]}
        else
          q.where, q.left, q.moves, q.since = nil, true, 0, 0
          held_until(q, never or own)
          if never then
            q.own = never
            c.stuck[#c.stuck + 1] = {which, q.index .. ' ' .. q.name}
          end
        end
      else
        local cost = task_cost(t.costs, l.name)
        local room = limit_at(l, cost, q.name, q.turn)
        l.head = {cost, q.name, q.turn, 0, e[3].base}
        if room > by then
          l.done = true
          keep_for(q, t, l, c)
          return nil
        elseif leave_token(l, q.turn, cost, math.max(room, own), c.now) then
          l.head[4], l.done = c.now + 20000, true -- whoever was told has come by then
          return nil
        end
        local at, last = start_of(q, t, own, c)
        local older = older_done(q, t, l, c)
        if not older and (at <= c.now or at <= by and reserved(q, t, at)) then
          return q, t, at, i, e[3]
        end
        last = older or last
        if not last or last == l then
          l.head[4], l.done = at, true
          keep_for(q, t, l, c)
          return nil
        elseif not held_up(q, t, at, l, last, n, i, e, c) then
          keep_for(q, t, l, c)
          return nil
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

  -- best_grant is the earliest, at one instant the oldest turn, of what the first queues of
  -- all limits can do; a limit found to be done changes what others can.
  local function best_grant(by, c)
    local best, again
    repeat
      best, again = nil, false
      local i = 1
      while i <= #opened do -- more may be opened meanwhile
        local l = opened[i]
        if not l.done and not (l.known and l.known.ver == version(l.known.q) + l.ver) then
          local n = math.min(c.most, math.max(1, buckets_left(l.b, by) or c.most))
          n = math.ceil(n / math.max(1, #l.line)) -- tasks of one queue that are likely to be granted
          local q, t, at, place, index = first_grant(l, n, by, c)
          l.known = q and {q = q, t = t, at = at, place = place, index = index, ver = version(q) + l.ver, l = l}
          l.ver = l.done and l.ver + 1 or l.ver
          again = true
        end
        local k = not l.done and l.known
        if k and (not best or k.at < best.at or k.at == best.at and k.q.turn < best.q.turn) then
          best = k
        end
        i = i + 1
      end
    until not again
    return best
  end

  -- grant debits a task's whole set at its start, and takes it.
  function grant(q, t, at, index, c)
    for _, name in ipairs(q.limits) do
      local m = limits_read[name]
      local cost = m and task_cost(t.costs, name) or 0
      if cost > 0 then
        buckets_debit(m.b, at, cost)
        m.running, m.spent, m.ver, m.changed = m.running + 1, m.spent + cost, m.ver + 1, true
        m.done = m.done and m.line == nil
        if at > c.now then
          m.ahead = math.max(m.ahead, at)
        end
        if m.keep and m.keep.queue == q.name then
          m.keep = nil
        end
      end
    end
    q.turn = c.fence + claim.total
    take(q, t, at, c.now)
    index.quota, index.h.slots, c.most = index.quota - 1, index.h.slots - 1, c.most - 1
  end

  -- alone tells whether no other queue waits at any limit that this claim has opened.
  function alone()
    for _, l in ipairs(opened) do
      if #l.line > 0 or #l.others > 0 then
        return false
      end
      for _, r in ipairs(l.reads) do
        if not r.done then
          return false
        end
      end
    end
    return true
  end

  -- grant_more grants what can start now of a queue that is alone: the same, without asking
  -- whose turn it is. What each limit has now is worked out once, and it is debited once.
  function grant_more(q, by, index, c)
    local limits, now, fence = {}, c.now, c.fence
    for i, name in ipairs(q.limits) do
      local m = limits_read[name]
      local free = not (m.keep or m.ask or m.b.damaged or m.b.frozen > now)
      limits[i] = {m = m, name = name, cost = 0, spent = 0, places = 0,
        left = free and (buckets_left(m.b, now) or math.huge) or 0,
        free = m.cap > 0 and m.cap - m.running or math.huge}
    end
    local function covered(costs)
      for i = 1, #limits do
        local x = limits[i]
        local cost = costs and (costs[x.name] or costs[1]) or 1
        if cost > 0 and (x.spent + cost > x.left or x.places >= x.free) then
          return false
        end
        x.cost = cost
      end
      return true
    end
    while index.quota > 0 and index.h.slots > 0 and c.most > 0 and claim.room > 0 do
      local t, own = candidate(q, math.min(c.most, index.quota, index.h.slots), by, now)
      if not t or own > now or #t.rec > claim.room or not covered(t.costs) then
        break
      end
      for i = 1, #limits do
        local x = limits[i]
        if x.cost > 0 then
          x.spent, x.places = x.spent + x.cost, x.places + 1
        end
      end
      q.turn = fence + claim.total
      take(q, t, now, now)
      index.quota, index.h.slots, c.most = index.quota - 1, index.h.slots - 1, c.most - 1
    end
    for i = 1, #limits do
      local x = limits[i]
      local m = x.m
      if x.places > 0 then
        buckets_debit(m.b, now, x.spent)
        m.running, m.spent, m.ver, m.changed = m.running + x.places, m.spent + x.spent, m.ver + 1, true
        m.done = m.done and m.line == nil
      end
    end
  end

  -- serve_limits grants tasks of the queues that wait at limits, in the order of the
  -- instants at which they can start, with equal instants by turn, while their indexes have
  -- slots left for it.
  function serve_limits(by, c)
    for _, l in ipairs(opened) do
      l.done, l.known = false, nil
    end
    while claim.room > 0 and c.most > 0 do
      local best = best_grant(by, c)
      if not best then
        return
      end
      local q, t, at, l = best.q, best.t, best.at, best.l
      if #t.rec > claim.room and claim.total > 0 then
        claim.room = 0
        return
      end
      table.remove(l.line, best.place)
      grant(q, t, at, best.index, c)
      if at <= c.now and alone() then
        grant_more(q, by, best.index, c)
      end
      l.known, l.head, l.ver = nil, nil, l.ver + 1
      local following = q.dear and candidate(q, 1, by, c.now)
      q.where, q.own, q.left, q.moves, q.since = slowest(q, c.now, following and following.costs), nil, nil, 0, 0
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
        limit_charge(l)
      end
      if l and (l.changed or l.line) then
        local h = l.head or {1, '', -1, 0}
        local head = h[1] > 1 and string.format('%d %s', h[1], h[2]) or ''
        if l.line and not l.told and head ~= l.stored.head then
          redis.call('HSET', K.LIMIT .. l.name, 'head', head)
        end
        local at, _, again = limit_at(l, h[1], h[2], h[3])
        limit_place(l, now, math.max(at >= NEVER and again or at, h[4]), h[5])
      end
    end
  end
end
