-- retry.lua: let a dead task run again now, with all its attempts before it, or one
-- that waits for its instant, with those it has left.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, internal id
--
-- Returns the state the task was in; only 'dead' and 'scheduled' change. '' when
-- there is no such task.

local name, id = ARGV[1], ARGV[2]
local state = find_task(name, id)
if state ~= 'dead' and state ~= 'scheduled' then
  return state
end
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
promote(q, now, 500)
local rec = redis.call('HGET', K.TASKS .. name, id)
if state == 'dead' then
  redis.call('ZREM', K.DEAD .. name, id)
  redis.call('HINCRBY', K.QUEUE .. name, 'dead', -1)
  redis.call('HSET', K.TASKS .. name, id, record_with(rec, {a = '', c = '', T = ''}))
elseif redis.call('ZREM', K.LATER .. name, id) == 1 then
  q.later = q.later - 1
else
  return state -- its instant came just now
end
push_waiting(q, {id}, nil, now)
redis.call('HSET', K.QUEUE .. name, 'later', q.later, 'waiting', q.waiting)
clock_write(KEYS[1], now, off)
announce(q, place_queue(q, now), now)
return state
