-- peek.lua: limits as they stand at one instant. Reads only.
--
-- KEYS[1]  {ns}:clock
-- ARGV     names
--
-- Returns {now, for each: {} when there is no such limit, else {fields and values of its
-- hash, queues that name it, number of queues that wait at it}}

local now = clock_read(KEYS[1])
local reply = {now}
for i = 1, #ARGV do
  local name = ARGV[i]
  local h = redis.call('HGETALL', K.LIMIT .. name)
  if #h == 0 then
    reply[#reply + 1] = {}
  else
    local waiting = 0
    for _, index in ipairs(redis.call('SMEMBERS', K.WAITED .. name)) do
      waiting = waiting + redis.call('ZCARD', K.WAITERS .. name .. ':' .. index)
    end
    reply[#reply + 1] = {h, redis.call('SMEMBERS', K.NAMED .. name), waiting}
  end
end
return reply
