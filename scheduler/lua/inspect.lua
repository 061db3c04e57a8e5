-- inspect.lua: one task as it stands.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, internal id
--
-- Returns {state, record, a, b, position, now, standing}: of a running task its worker
-- and its lease, of an ended one how it ended, of a scheduled one its instant; of a
-- waiting one how many of its queue, or its key, are before it (-1 past the first 10,000)
-- and the standing of its limits; state '' when unknown.

local name, id = ARGV[1], ARGV[2]
local now = clock_read(KEYS[1])
local state, a, b = find_task(name, id)
local rec = redis.call('HGET', K.TASKS .. name, id)
local position, stand = 0, {}
if state == 'scheduled' then
  a = redis.call('ZSCORE', K.LATER .. name, id)
elseif state == 'dead' then
  a = redis.call('ZSCORE', K.DEAD .. name, id)
elseif state == 'waiting' then
  local q = load_queue(name, now)
  local wait, front, fronts = K.WAIT .. name, K.FRONT .. name, q.front
  local key = q.keys and (record_fields(rec)).k
  stand = standing(q, now)
  if key then
    wait, front = K.LANE .. name .. ':' .. key, K.LANEFRONT .. name .. ':' .. key
    fronts = keys_load(q, {key}, now)[1].front
    standing_key(q, stand, key, now)
  end
  position = fronts > 0 and redis.call('ZRANK', front, id)
  if not position then
    local at = redis.call('LPOS', wait, id, 'MAXLEN', 10000)
    position = at and at + fronts or -1
  end
end
return {state, rec or '', a or '', b or '', position, now, stand}
