-- show.lua: queues as they stand at one instant. Reads only.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queues
--
-- Returns {now, for each: {} or {hash fields and values, standing, keys with work, next
-- key (-1 none, 0 now, else its instant), costs of the first task}}

local now = clock_read(KEYS[1])
local reply = {now}
for i = 1, #ARGV do
  local name = ARGV[i]
  local h = redis.call('HGETALL', K.QUEUE .. name)
  local q = #h > 0 and load_queue(name, now)
  if not q then
    reply[#reply + 1] = {}
  else
    local active, next, costs = 0, 0, ''
    if q.keys then
      active = redis.call('ZCARD', K.KEYREADY .. name) + redis.call('ZCARD', K.KEYLATER .. name) + redis.call('ZCARD', K.KEYFULL .. name)
      next = keys_next(q, now) or -1
      next = next == now and 0 or next
    elseif q.dear and q.waiting > 0 then
      local id = q.front > 0 and redis.call('ZRANGE', K.FRONT .. name, 0, 0)[1] or redis.call('LINDEX', K.WAIT .. name, 0)
      local rec = id and redis.call('HGET', K.TASKS .. name, id)
      costs = rec and string.byte(rec, 1) ~= 10 and (record_fields(rec)).n or ''
    end
    reply[#reply + 1] = {h, standing(q, now), active, next, costs}
  end
end
return reply
