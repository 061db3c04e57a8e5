-- leave.lua: a worker goes. First it stops being woken; once it holds no task it is
-- forgotten.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, most tasks to give back ('0' only stops the waking: it is draining)
--
-- Returns {tasks it still holds, number of its last claim}.

local worker, max = ARGV[1], tonumber(ARGV[2])
local indexes = redis.call('HGET', K.WORKER .. worker, 'indexes') or ''
for index in string.gmatch(indexes, '%S+') do
  redis.call('ZREM', K.IDLE .. index, worker)
  local at = redis.call('HGET', K.APPOINTMENTS, index)
  if at and string.match(at, ' (.*)$') == worker then
    redis.call('HDEL', K.APPOINTMENTS, index)
    wake_one(index)
  end
end
local claim = redis.call('HGET', K.WORKER .. worker, 'claim')
if max == 0 then
  if claim then
    redis.call('HSET', K.WORKER .. worker, 'draining', 1)
  end
else
  local now, off = clock_read(KEYS[1])
  if reap_tasks(worker, now, max, now) then
    forget_worker(worker)
  end
  clock_write(KEYS[1], now, off)
end
return {redis.call('HLEN', K.RUN .. worker), tonumber(claim or 0)}
