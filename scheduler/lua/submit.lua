-- submit.lua: put tasks into a queue, all of one call or none.
--
-- A task without an instant becomes waiting, behind all that became waiting before
-- it: scheduled tasks whose instant has passed are promoted first, and while more
-- of those are left than one call may move, it joins them.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, then for each task: own id ('' for a generated one), when ('' now,
--          '+D' in D µs, '@T' at the instant T), record
--
-- Returns {1, now, ahead, standing, {id, at}..., {ahead of its key}...}
--   ahead       tasks that were waiting before the first of these
--   standing    as standing.lua has it
--   id, at      the internal id; the scheduled instant, 0 when waiting
-- or {0} no such queue, {-1, i} the i-th task's own id is taken, {-2, most, held} they
-- would be more than the queue may hold waiting and scheduled, {-3, i} the i-th has no
-- key, {-4, i, limit, cost, capacity} the i-th costs more than the limit can ever hold,
-- {-5, i, name} the i-th names a cost of a limit that the queue is not under.

local name = ARGV[1]
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
if not q then
  return {0}
end
local v = redis.call('HMGET', K.QUEUE .. name, 'no', 'last_id', 'max_length')
local no, last, most = tonumber(v[1]), tonumber(v[2]) or 0, tonumber(v[3]) or 0
if most > 0 and q.waiting + q.later + (#ARGV - 1) / 3 > most then
  return {-2, most, q.waiting + q.later}
end

-- what tasks cost, and their keys
local dear, names, byte = false, {}, string.byte
for i = 4, #ARGV, 3 do
  if byte(ARGV[i], 1) ~= 10 or q.keys then
    local f = record_fields(ARGV[i])
    local k = (i - 1) / 3
    if q.keys and not f.k then
      return {-3, k}
    end
    names[k] = f.k
    local costs = costs_read(f)
    if costs then
      dear = true
      local under = {queue = q.b, key = q.keys and keys_load(q, {f.k}, now)[1].b}
      for _, limit in ipairs(q.limits or {}) do
        local l = limit_load(limit, now)
        under[limit] = l and l.b
      end
      for limit in pairs(costs) do
        if limit ~= 1 and not under[limit] then
          return {-5, k, limit}
        end
      end
      for limit, b in pairs(under) do
        local c = task_cost(costs, limit)
        if c > 1 and not b.damaged and buckets_at(b, c) >= NEVER then
          return {-4, k, limit, c, buckets_burst(b)}
        end
      end
    end
  end
end

local own, owned, seen = {}, {}, {}
for i = 2, #ARGV, 3 do
  local id = ARGV[i]
  if id ~= '' then
    if seen[id] then
      return {-1, (i + 1) / 3}
    end
    seen[id] = true
    own[#own + 1] = id
    owned[#owned + 1] = (i + 1) / 3
  end
end
if #own > 0 then
  local taken = redis.call('HMGET', K.IDS, unpack(own))
  for i = 1, #own do
    if taken[i] then
      return {-1, owned[i]}
    end
  end
end

local overdue = promote(q, now, 500)
local ahead = q.waiting
local wait, later, bodies, ids, reply, keys, lanes, places = {}, {}, {}, {}, {}, {}, {}, {}
if last < now then
  last = now - 1
end
for i = 2, #ARGV, 3 do
  last = last + 1
  local id = string.format('%013x-%x', last, no)
  local at, when = 0, ARGV[i + 1]
  if when ~= '' then
    at = tonumber(string.sub(when, 2))
    if string.byte(when, 1) == 43 then
      at = now + at
    end
  end
  if at > now then
    later[#later + 1] = at
    later[#later + 1] = id
  elseif overdue then
    later[#later + 1] = now
    later[#later + 1] = id
    at = 0
  else
    wait[#wait + 1] = id
    if q.keys then
      keys[#wait] = names[(i + 1) / 3]
    end
    at = 0
  end
  bodies[#bodies + 1] = id
  bodies[#bodies + 1] = ARGV[i + 2]
  if #ARGV[i + 2] > q.big then
    q.big = #ARGV[i + 2]
  end
  if ARGV[i] ~= '' then
    ids[#ids + 1] = ARGV[i]
    ids[#ids + 1] = id
  end
  reply[#reply + 1] = id
  reply[#reply + 1] = at
  if q.keys then
    local key, before = names[(i + 1) / 3], 0
    if at == 0 then
      lanes[key] = lanes[key] or redis.call('LLEN', K.LANE .. name .. ':' .. key) + keys_load(q, {key}, now)[1].front
      before = lanes[key]
      lanes[key] = before + 1
    end
    places[#places + 1] = before
  end
end

redis.call('HSET', K.TASKS .. name, unpack(bodies))
if #ids > 0 then
  redis.call('HSET', K.IDS, unpack(ids))
  redis.call('HSET', K.QUEUE .. name, 'own', 1)
end
local turned_dear = dear and not q.dear
q.dear = q.dear or dear
if #wait > 0 then
  push_waiting(q, wait, keys, now)
end
if #later > 0 then
  redis.call('ZADD', K.LATER .. name, unpack(later))
end
q.later = q.later + #later / 2
redis.call('HSET', K.QUEUE .. name, 'waiting', q.waiting, 'later', q.later, 'last_id', last, 'big', q.big)
if turned_dear then
  redis.call('HSET', K.QUEUE .. name, 'dear', 1, 'starts', string.format('%d', q.spent))
end
clock_write(KEYS[1], now, off)
if bulk then -- submit_plain.lua has read it
  redis.call('SET', K.BULK .. bulk, bulk_tasks, 'EX', bulk_kept)
end
-- a queue that had waiting tasks has its place, and somebody who comes for it; one whose
-- keys were all blocked may have one that is not
if ahead == 0 or q.keys and q.place == '' then
  announce(q, place_queue(q, now), now)
end
return {1, now, ahead, standing(q, now), reply, places}
