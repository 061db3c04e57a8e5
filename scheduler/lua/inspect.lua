-- inspect.lua: one task as it stands.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, internal id
--
-- Returns {state, record, a, b}: of a running task its worker and its lease, of an
-- ended one how it ended, of a scheduled one its instant; state '' when unknown.

local name, id = ARGV[1], ARGV[2]
local state, a, b = find_task(name, id)
if state == 'scheduled' then
  a = redis.call('ZSCORE', K_LATER .. name, id)
elseif state == 'dead' then
  a = redis.call('ZSCORE', K_DEAD .. name, id)
end
return {state, redis.call('HGET', K_TASKS .. name, id) or '', a or '', b or ''}
