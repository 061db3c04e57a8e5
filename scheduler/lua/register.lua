-- register.lua: a worker appears, or says more about itself.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, lease in µs, known ('1': it has registered before), then field, value, ... of what it announces
--
-- Returns {1, now} or {0} when the worker of that name has been reaped or has left.

local worker, lease = ARGV[1], tonumber(ARGV[2])
local v = redis.call('HMGET', K.WORKER .. worker, 'reaped', 'claim')
if v[1] or (ARGV[3] == '1' and not v[2]) then
  return {0}
end
local now, off = clock_read(KEYS[1])
redis.call('ZREM', K.WORKERS, worker) -- a removal first: passes when memory is full
redis.call('ZADD', K.WORKERS, now + lease, worker)
redis.call('HSET', K.WORKER .. worker, 'lease', lease, 'claim', v[2] or 0, 'beat', now, unpack(ARGV, 4))
redis.call('HSETNX', KEYS[1], 'tick', now) -- an outage is counted from here
clock_write(KEYS[1], now, off)
return {1, now}
