-- restart.lua: ask a worker to replace the processes of a handler's plugin. The worker
-- sees it at its next tick, which a signal hurries; it knows which requests it has
-- carried out.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, handler, name of the request
--
-- Returns 1, or 0 when the worker is gone.

local worker, handler = ARGV[1], ARGV[2]
local v = redis.call('HMGET', K.WORKER .. worker, 'claim', 'reaped', 'restarts')
if not v[1] or v[2] then
  return 0
end
local requests = handler .. '=' .. ARGV[3] -- the last one of each handler
for other, request in string.gmatch(v[3] or '', '([^ =]+)=(%S+)') do
  if other ~= handler then
    requests = requests .. ' ' .. other .. '=' .. request
  end
end
redis.call('HSET', K.WORKER .. worker, 'restarts', requests)
redis.call('PUBLISH', K.WAKE .. worker, 'tick')
return 1
