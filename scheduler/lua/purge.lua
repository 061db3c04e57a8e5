-- purge.lua: drop one chunk of a queue's tasks.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, most tasks, states to drop: any of 'waiting', 'scheduled', 'dead', 'ended'
--
-- Returns {1, dropped, seen, left} (entries gone through; tasks left of those states),
-- or {0} no such queue.

-- purge_lanes takes up to room waiting tasks out of the lanes, whole lanes first to last;
-- it returns their ids, and how many entries more it went through.
local function purge_lanes(q, room, now)
  local ids, more, list = {}, 0, {}
  keys_review(q, 200, now)
  for _, key in ipairs({K.KEYREADY, K.KEYLATER, K.KEYFULL}) do
    local names = #ids + more < room and redis.call('ZRANGE', key .. q.name, 0, 49) or {}
    for _, k in ipairs(keys_load(q, names, now)) do
      local left = room - #ids - more
      if left > 0 then
        local lane, front = K.LANE .. q.name .. ':' .. k.name, K.LANEFRONT .. q.name .. ':' .. k.name
        local back = k.front > 0 and redis.call('ZRANGE', front, 0, left - 1) or {}
        if #back > 0 then
          redis.call('ZREM', front, unpack(back))
          k.front = k.front - #back
        end
        local rest = left > #back and redis.call('LRANGE', lane, 0, left - #back - 1) or {}
        redis.call('LTRIM', lane, #rest, -1)
        for j = 1, #rest do
          back[#back + 1] = rest[j]
        end
        local live = #back > 0 and redis.call('HMGET', K.TASKS .. q.name, unpack(back)) or {}
        local past = #back > 0 and redis.call('HMGET', K.ENDS .. q.name, unpack(back)) or {}
        for j = 1, #back do
          if not live[j] or past[j] then
            q.gone = q.gone - 1
            more = more + 1
          else
            ids[#ids + 1] = back[j]
          end
        end
        k.has, k.at = k.front > 0 or redis.call('EXISTS', lane) == 1, nil
        more = more + (#back == 0 and 1 or 0)
        list[#list + 1] = k
      end
    end
  end
  keys_write(q, list, now)
  q.waiting = q.waiting - #ids
  return ids, more
end

local name, max = ARGV[1], tonumber(ARGV[2])
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
if not q then
  return {0}
end
local v = redis.call('HMGET', K.QUEUE .. name, 'own', 'dead', 'ended')
local own, dead, ended = v[1], tonumber(v[2]) or 0, tonumber(v[3]) or 0
local drop, seen, more = {}, 0, 0
for i = 3, #ARGV do
  local state, room = ARGV[i], max - #drop
  local ids = {}
  if room > 0 and state == 'waiting' and q.keys then
    ids, more = purge_lanes(q, room, now)
    seen = seen + more
  elseif room > 0 and state == 'waiting' then
    ids = redis.call('ZRANGE', K.FRONT .. name, 0, room - 1)
    if #ids > 0 then
      redis.call('ZREM', K.FRONT .. name, unpack(ids))
    end
    q.front = q.front - #ids
    q.waiting = q.waiting - #ids
    local list = room > #ids and redis.call('LRANGE', K.WAIT .. name, 0, room - #ids - 1) or {}
    seen = seen + #list
    if #list > 0 then
      redis.call('LTRIM', K.WAIT .. name, #list, -1)
      local live = redis.call('HMGET', K.TASKS .. name, unpack(list))
      local past = redis.call('HMGET', K.ENDS .. name, unpack(list))
      for j = 1, #list do
        if not live[j] or past[j] then
          q.gone = q.gone - 1
        else
          ids[#ids + 1] = list[j]
          q.waiting = q.waiting - 1
        end
      end
    end
  elseif room > 0 and state == 'scheduled' then
    ids = redis.call('ZRANGE', K.LATER .. name, 0, room - 1)
    if #ids > 0 then
      redis.call('ZREM', K.LATER .. name, unpack(ids))
    end
    q.later = q.later - #ids
  elseif room > 0 and state == 'dead' then
    ids = redis.call('ZRANGE', K.DEAD .. name, 0, room - 1)
    if #ids > 0 then
      redis.call('ZREM', K.DEAD .. name, unpack(ids))
    end
    dead = dead - #ids
  elseif room > 0 and state == 'ended' then
    ids = redis.call('LRANGE', K.ENDED .. name, 0, room - 1)
    if #ids > 0 then
      redis.call('LTRIM', K.ENDED .. name, #ids, -1)
      redis.call('HDEL', K.ENDS .. name, unpack(ids))
    end
    ended = ended - #ids
  end
  seen = seen + #ids
  for j = 1, #ids do
    drop[#drop + 1] = ids[j]
  end
end
local left = 0
for i = 3, #ARGV do
  left = left + ({waiting = q.waiting, scheduled = q.later, dead = dead, ended = ended})[ARGV[i]]
end
if #drop > 0 then
  forget_tasks(name, own, drop)
end
redis.call('HSET', K.QUEUE .. name, 'front', q.front, 'waiting', q.waiting, 'later', q.later, 'dead', dead, 'ended', ended,
  'gone', q.gone)
clock_write(KEYS[1], now, off)
announce(q, place_queue(q, now), now)
return {1, #drop, seen, left}
