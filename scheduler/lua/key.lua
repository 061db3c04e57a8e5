-- key.lua: the keys of a queue with a key block. Put behind limit.lua, record.lua and
-- cost.lua, in front of queue.lua.
--
-- keys:<queue> holds for each key that has work or places, or whose buckets are not full (but
-- for one that only stands in keyready, and was never served):
--   "pass running frozen generation front place buckets"
--     pass        how far along it is, in 1/1000 of cost ÷ weight: the least is next
--     running     tasks that hold a place of its cap: while it has none, those from before,
--                 and what starts just before it gets one (count.lua)
--     generation  of the default rates under which the buckets are kept
--     front       tasks given back, in lanefront:<queue>:<key>
--     place       r keyready (by pass), l keylater (by instant), f keyfull, - it has no
--                 work
-- The queue's field key is "cap weight rates", an exception x_<key> likewise, with - for
-- what is as for all; generations is "number instant rates" for each, with ; between.
-- When the defaults change, the keys that were blocked move whole to keystale:<queue>:<n>,
-- named in the field stale, and are looked at again in chunks.

-- A script makes its functions anew with each call, so these are made only where a queue
-- has keys: load_queue calls use_keys.
local keys_default, key_rules, key_fresh, key_read, keys_load, key_counts, key_at, key_place, key_state,
  keys_changes, keys_store, keys_write, keys_next, begin_work, keys_push, keys_back, keys_review, sweep_keys, drop_keys

local LONG = '\n' .. string.rep(' ', 64)

local function use_keys()
  if keys_default then
    return
  end
  use_corrections()

  -- keys_default reads the settings of the key block, once.
  function keys_default(q)
    if q.defaults then
      return q.defaults
    end
    local v = redis.call('HMGET', K.QUEUE .. q.name, 'key', 'generations', 'exceptions', 'stale', 'counted')
    local cap, weight, rates = string.match(v[1], '^(%d+) (%d+) (.*)$')
    local d = {cap = tonumber(cap), weight = tonumber(weight), rates = rates, gens = {}, gen = 0, states = {},
      exceptions = (tonumber(v[3]) or 0) > 0, stale = v[4] and v[4] ~= '' and v[4], counted = (v[5] or '0') ~= '0'}
    for n, at, text in string.gmatch(v[2] or '', '(%d+) (%d+) ([^;]*)') do
      d.gen = tonumber(n)
      d.gens[d.gen] = {at = tonumber(at), rates = text}
    end
    q.defaults = d
    return d
  end

  -- key_rules returns the cap, weight and rates of a key, and whether the rates are its own.
  function key_rules(d, exception)
    local cap, weight, rates, own = d.cap, d.weight, d.rates, false
    if exception and exception ~= '' then
      local c, w, r = string.match(exception, '^(%S+) (%S+) (.*)$')
      cap = tonumber(c) or cap
      weight = tonumber(w) or weight
      if r and r ~= '-' then
        rates, own = r, true
      end
    end
    return cap, weight, rates, own
  end

  -- key_fresh is the buckets of a key without state. It was full, and is brought forward
  -- through the changes of the defaults: a burst that was raised comes to it at the pace of
  -- the rate, as to the others.
  function key_fresh(d)
    if not d.fresh then
      local first = d.gen
      while d.gens[first - 1] do
        first = first - 1
      end
      d.fresh = rates_read(d.gens[first].rates)
      for g = first + 1, d.gen do
        d.fresh = buckets_change(d.fresh, d.gens[g].rates, d.gens[g].at)
      end
    end
    return buckets_copy(d.fresh)
  end

  -- key_read makes a key of its state; buckets kept under older defaults are brought
  -- forward through the changes since.
  function key_read(d, name, state, exception, ready, now)
    local cap, weight, rates, own = d.cap, d.weight, d.rates, false
    if exception and exception ~= '' then
      cap, weight, rates, own = key_rules(d, exception)
    end
    if not state then
      local pass = ready and tonumber(ready) or false
      return {name = name, cap = cap, weight = weight, pass = pass or 0, running = 0, front = 0, place = pass and 'r' or '-',
        b = own and rates_read(rates) or key_fresh(d), known = false, stood = pass}
    end
    local same = not own and d.states[state] -- equal states are read once
    if same then
      return {name = name, cap = cap, weight = weight, pass = same.pass, running = same.running, front = same.front, place = same.place,
        b = buckets_copy(same.b), known = true, stood = same.stood}
    end
    local k = {name = name, cap = cap, weight = weight, pass = 0, running = 0, front = 0, place = '-', b = false, known = true, stood = false}
    local pass, running, frozen, gen, front, place, bucket = string.match(state, '^(%d+) (%d+) (%d+) (%d+) (%d+) (.) (.*)$')
    k.pass, k.running, k.front, k.place = tonumber(pass), tonumber(running), tonumber(front), place
    k.stood = place == 'r' and k.pass
    gen = tonumber(gen)
    if own or gen == d.gen then
      k.b = buckets_read(rates, bucket, nil, frozen, now)
      if not own then
        d.states[state] = {pass = k.pass, running = k.running, front = k.front, place = place, stood = k.stood, b = buckets_copy(k.b)}
      end
    elseif d.gens[gen] then
      k.b = buckets_read(d.gens[gen].rates, bucket, nil, frozen, now)
      for g = gen + 1, d.gen do
        k.b = buckets_change(k.b, d.gens[g].rates, d.gens[g].at)
      end
    else -- older than what is known: it begins empty
      k.b = rates_read(rates)
      k.b.frozen = tonumber(frozen)
      for _, r in ipairs(k.b) do
        r[4], r[5] = bucket_debit(r[1], r[2], 0, 0, now, r[3])
      end
    end
    return k
  end

  -- keys_load returns the keys of these names, each read once. passes are those in keyready,
  -- where they are known.
  function keys_load(q, names, now, passes)
    local d = keys_default(q)
    q.loaded = q.loaded or {}
    local ask, ready = {}, passes and {}
    for i, name in ipairs(names) do
      if not q.loaded[name] then
        q.loaded[name] = true
        ask[#ask + 1] = name
        if passes then
          ready[#ask] = passes[i]
        end
      end
    end
    if #ask > 0 then
      local states, exceptions = redis.call('HMGET', K.KEYS .. q.name, unpack(ask)), nil
      if d.exceptions then
        local fields = {}
        for i = 1, #ask do
          fields[i] = 'x_' .. ask[i]
        end
        exceptions = redis.call('HMGET', K.QUEUE .. q.name, unpack(fields))
      end
      for i = 1, ready and 0 or #ask do
        if not states[i] then
          ready = redis.call('ZMSCORE', K.KEYREADY .. q.name, unpack(ask))
          break
        end
      end
      for i, name in ipairs(ask) do
        q.loaded[name] = key_read(d, name, states[i], exceptions and exceptions[i], ready and ready[i], now)
      end
    end
    local out = {}
    for i = 1, #names do
      out[i] = q.loaded[names[i]]
    end
    return out
  end

  -- key_counts tells whether a task of the key takes a place.
  function key_counts(q, k)
    return k.cap > 0 or q.defaults.counted
  end

  -- key_at is the earliest instant at which the key's own limit lets a task of cost c
  -- start; NEVER while its cap is full.
  function key_at(k, c)
    if c > 0 and k.cap > 0 and k.running >= k.cap then
      return NEVER
    end
    return c > 0 and buckets_at(k.b, c) or k.b.frozen
  end

  -- key_place is where a key belongs, and the instant of its next task. has says whether it
  -- has work (nil: as before), at that instant (nil: worked out for cost 1).
  function key_place(q, k, now)
    local has = k.has
    if has == nil then
      has = k.place ~= '-'
    end
    if not has then
      return '-'
    end
    local at = k.at or key_at(k, q.dear and 0 or 1)
    return at <= now and 'r' or at < NEVER and 'l' or 'f', at
  end

  -- in_chunks calls a command with a list of any length: unpack takes no more than 8,000.
  local function in_chunks(command, key, list)
    for i = 1, #list, 1000 do
      redis.call(command, key, unpack(list, i, math.min(i + 999, #list)))
    end
  end

  -- key_state is what is stored of a key in a place, whole being the instant of
  -- buckets_whole; or nil where nothing of it is left to know.
  function key_state(d, k, place, whole, now)
    if k.running > 0 or whole > now or place ~= '-' and (place ~= 'r' or k.front > 0) then
      return string.format('%d %d %d %d %d %s %s', k.pass, k.running, k.b.frozen, d.gen, k.front, place, buckets_text(k.b))
    end
  end

  -- keys_changes is what is to be stored of keys: lists of those that leave a place, of
  -- fields and values, of scores and members.
  function keys_changes()
    return {r = {}, l = {}, f = {}, gone = {}, states = {}, ready = {}, later = {}, full = {}, sweep = {}}
  end

  -- keys_store writes the changes of n keys.
  function keys_store(q, x, n)
    in_chunks('ZREM', K.KEYREADY .. q.name, x.r)
    in_chunks('ZREM', K.KEYLATER .. q.name, x.l)
    in_chunks('ZREM', K.KEYFULL .. q.name, x.f)
    in_chunks('HDEL', K.KEYS .. q.name, x.gone)
    if n >= 32 then -- as lease_write does; no key has a line break
      x.states[#x.states + 1], x.states[#x.states + 2] = LONG, LONG
      redis.call('ZADD', K.KEYREADY .. q.name, '0', LONG)
    end
    in_chunks('HSET', K.KEYS .. q.name, x.states)
    in_chunks('ZADD', K.KEYREADY .. q.name, x.ready)
    in_chunks('ZADD', K.KEYLATER .. q.name, x.later)
    in_chunks('ZADD', K.KEYFULL .. q.name, x.full)
    in_chunks('ZADD', K.SWEEP, x.sweep)
    if n >= 32 then
      redis.call('HDEL', K.KEYS .. q.name, LONG)
      redis.call('ZREM', K.KEYREADY .. q.name, LONG)
    end
  end

  -- keys_write stores keys, each in its place.
  function keys_write(q, list, now)
    local d, x, format = keys_default(q), keys_changes(), string.format
    local states, ready = x.states, x.ready
    local last, state, pass, score = {}, nil, nil, nil -- mostly that of the last one is the same
    for i = 1, #list do
      local k = list[i]
      local was, b = k.place, k.b
      local place, at = key_place(q, k, now)
      if was ~= place and x[was] then
        table.insert(x[was], k.name)
        if place == 'r' then -- it comes back: what it missed while it was blocked is gone
          k.pass = math.max(k.pass, q.vt)
        end
      end
      if place == 'r' then
        if k.stood ~= k.pass then
          if k.pass ~= pass then
            pass, score = k.pass, format('%d', k.pass)
          end
          ready[#ready + 1] = score
          ready[#ready + 1] = k.name
        end
      elseif place == 'l' then
        x.later[#x.later + 1] = format('%d', at)
        x.later[#x.later + 1] = k.name
      elseif place == 'f' then
        x.full[#x.full + 1] = format('%d', k.pass)
        x.full[#x.full + 1] = k.name
      end
      k.place, k.stood = place, place == 'r' and k.pass -- its score in keyready
      local whole = buckets_whole(b)
      local r, l = #b == 1 and b[1], last.r
      if not (r and l and r[4] == l[4] and r[5] == l[5] and k.pass == last.pass and k.running == last.running and k.front == last.front
        and place == last.place and b.frozen == last.frozen) then
        state = key_state(d, k, place, whole, now)
        last.r, last.pass, last.running, last.front, last.place, last.frozen = r, k.pass, k.running, k.front, place, b.frozen
      end
      if state then
        k.known = true
        states[#states + 1] = k.name
        states[#states + 1] = state
        if place == '-' and k.running == 0 then
          x.sweep[#x.sweep + 1] = format('%d', whole)
          x.sweep[#x.sweep + 1] = q.name .. ':' .. k.name
        end
      elseif k.known then
        x.gone[#x.gone + 1] = k.name
      end
    end
    keys_store(q, x, #list)
  end

  -- keys_next is the instant at which some key has a task that may start; nil when none has.
  function keys_next(q, now)
    if keys_default(q).stale or redis.call('EXISTS', K.KEYREADY .. q.name) == 1 then
      return now
    end
    local first = redis.call('ZRANGE', K.KEYLATER .. q.name, 0, 0, 'WITHSCORES')
    return first[2] and math.max(now, tonumber(first[2]))
  end

  -- begin_work makes a key that had none one of those with work: it starts where the last
  -- one served was.
  function begin_work(q, k)
    if k.place == '-' then
      k.pass = math.max(k.pass, q.vt)
      k.has = true
    end
  end

  -- keys_push puts tasks behind the others of their keys.
  function keys_push(q, ids, keys, now)
    local lanes, order = {}, {}
    for i, id in ipairs(ids) do
      local name = keys[i]
      if not lanes[name] then
        lanes[name] = {}
        order[#order + 1] = name
      end
      table.insert(lanes[name], id)
    end
    local list, fresh = keys_load(q, order, now), {}
    for i, k in ipairs(list) do
      redis.call('RPUSH', K.LANE .. q.name .. ':' .. k.name, unpack(lanes[order[i]]))
      if k.place == '-' then
        begin_work(q, k)
        fresh[#fresh + 1] = k
      end
    end
    keys_write(q, fresh, now)
  end

  -- keys_back puts tasks that were running in front of the others of their keys, by their
  -- first turn. Each of back is {id, seq, key}; the keys are written by the caller.
  function keys_back(q, back, now)
    for _, t in ipairs(back) do
      local k = keys_load(q, {t.key}, now)[1]
      redis.call('ZADD', K.LANEFRONT .. q.name .. ':' .. k.name, t.seq, t.id)
      k.front = k.front + 1
      begin_work(q, k)
    end
  end

  -- keys_review looks at a chunk of the keys that were blocked when the defaults changed.
  function keys_review(q, max, now)
    local d = keys_default(q)
    if not d.stale then
      return
    end
    local n, rest = string.match(d.stale, '^(%S+) ?(.*)$')
    local set = K.KEYSTALE .. q.name .. ':' .. n
    local names = redis.call('ZRANGE', set, 0, max - 1)
    redis.call('ZREM', set, '', unpack(names)) -- a removal first: passes when memory is full
    if #names < max then
      d.stale = rest ~= '' and rest
      redis.call('HSET', K.QUEUE .. q.name, 'stale', rest)
    end
    if #names > 0 then
      local list = {}
      for _, k in ipairs(keys_load(q, names, now)) do
        if k.place == 'l' or k.place == 'f' then -- else something has moved it since
          k.has, k.at = true, nil
          list[#list + 1] = k
        end
      end
      keys_write(q, list, now)
    end
  end

  -- sweep_keys drops states of keys without work whose buckets are full by now.
  function sweep_keys(max, now, load)
    local due = redis.call('ZRANGEBYSCORE', K.SWEEP, '-inf', now, 'LIMIT', 0, max)
    local names, order = {}, {}
    for _, entry in ipairs(due) do
      local queue, name = string.match(entry, '^([^:]*):(.*)$')
      if not names[queue] then
        names[queue] = {}
        order[#order + 1] = queue
      end
      table.insert(names[queue], name)
    end
    in_chunks('ZREM', K.SWEEP, due)
    for _, queue in ipairs(order) do
      local q, list = load(queue, now), {}
      for _, k in ipairs(q and q.keys and keys_load(q, names[queue], now) or {}) do
        if k.known and k.place == '-' and k.running == 0 then
          list[#list + 1] = k
        end
      end
      if #list > 0 then
        keys_write(q, list, now)
      end
    end
  end

  -- drop_keys drops all that there is of the keys of a queue without tasks.
  function drop_keys(q)
    local sets = {K.KEYREADY .. q.name, K.KEYLATER .. q.name, K.KEYFULL .. q.name}
    for n in string.gmatch(keys_default(q).stale or '', '%S+') do
      sets[#sets + 1] = K.KEYSTALE .. q.name .. ':' .. n
    end
    for _, set in ipairs(sets) do
      for _, key in ipairs(redis.call('ZRANGE', set, 0, -1)) do
        redis.call('UNLINK', K.LANE .. q.name .. ':' .. key, K.LANEFRONT .. q.name .. ':' .. key)
      end
    end
    redis.call('UNLINK', K.KEYS .. q.name, unpack(sets))
  end
end
