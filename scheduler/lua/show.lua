-- show.lua: queues as they stand at one instant. Reads only.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queues
--
-- Returns {now, {hash fields and values} or {} ...}

local now = clock_read(KEYS[1])
local reply = {now}
for i = 1, #ARGV do
  reply[#reply + 1] = redis.call('HGETALL', K_QUEUE .. ARGV[i])
end
return reply
