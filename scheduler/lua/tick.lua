-- tick.lua: a worker's one call a second. Renews its lease, watches the clock, takes
-- one chunk of tasks back from one dead worker, forgets dead ones that hold none, and looks
-- whether work was missed.
--
-- When no worker has ticked for 2 s (Redis was away, its clock jumped forward, or all workers
-- were dead), every lease is renewed before anything is reaped. Of a worker that has shown no
-- sign of life since then, the next two times only for EXCUSE at least, and then no more: so the
-- tasks of a dead one come back also where its successors die early.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, most tasks to reap, then for each index: pool:handler[=queue], free slots
--
-- Returns {1, now, reaped, stops, indexes, restarts, claim, leases, more}
--   reaped   tasks taken back
--   stops    internal ids of this worker's tasks that somebody wants cancelled
--   indexes  for each asked: 1 when the worker should claim now
--   restarts handler=request ..., the last ones
--   claim    the number of the last one that is taken
--   leases   how many tasks this worker has
--   more     1 when there are more dead workers, or tasks of this one
-- or {0} when this worker has been reaped.

local EXCUSE = 6000000 -- µs; a call that hangs is given up after 5 s

local worker, max = ARGV[1], tonumber(ARGV[2])
local v = redis.call('HMGET', K.WORKER .. worker, 'lease', 'reaped', 'restarts', 'claim')
if not v[1] or v[2] then
  return {0}
end
local now, off = clock_read(KEYS[1])
local last = tonumber(redis.call('HGET', KEYS[1], 'tick')) or 0

local reaped, more = 0, 0
redis.call('ZREM', K.WORKERS, worker) -- a removal first: passes when memory is full
redis.call('ZADD', K.WORKERS, now + tonumber(v[1]), worker)
if now - last > 2000000 then
  local all = redis.call('ZRANGE', K.WORKERS, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    local w = redis.call('HMGET', K.WORKER .. all[i], 'lease', 'reaped', 'beat', 'excused')
    local lease, times, beat = tonumber(w[1]) or 0, string.match(w[4] or '', '^(%d+) (.*)$')
    times = beat == w[3] and tonumber(times) or 0
    local ends = now + (times == 0 and lease or math.min(lease, EXCUSE))
    if ends > tonumber(all[i + 1]) and times < 3 and not w[2] then
      redis.call('ZADD', K.WORKERS, ends, all[i])
      redis.call('HSET', K.WORKER .. all[i], 'excused', times + 1 .. ' ' .. (w[3] or ''))
    end
  end
else
  local dead = redis.call('ZRANGEBYSCORE', K.WORKERS, '-inf', now, 'WITHSCORES', 'LIMIT', 0, 20)
  for i = 1, #dead, 2 do
    local lease = tonumber(redis.call('HGET', K.WORKER .. dead[i], 'lease')) or 0
    local before = redis.call('HLEN', K.RUN .. dead[i])
    redis.call('HSET', K.WORKER .. dead[i], 'reaped', 1)
    if reap_tasks(dead[i], tonumber(dead[i + 1]) - lease, max, now) then
      forget_worker(dead[i])
      reaped = before
    else
      reaped = before - redis.call('HLEN', K.RUN .. dead[i])
    end
    if before > 0 then
      break
    end
  end
  more = #dead > 0 and redis.call('ZCOUNT', K.WORKERS, '-inf', now) > 0 and 1 or 0
end
expire_some(5, now)
if redis.call('EXISTS', K.SWEEP) == 1 then
  use_keys()
  sweep_keys(50, now, load_queue)
end
redis.call('HSET', K.WORKER .. worker, 'beat', now)
redis.call('HSET', KEYS[1], 'tick', now)
clock_write(KEYS[1], now, off)

local indexes = {}
for i = 3, #ARGV, 2 do
  local index, come = ARGV[i], 0
  if tonumber(ARGV[i + 1]) > 0 then
    local first, t = head(index)
    if first then
      -- missed, or nobody has been told to come for it
      if t < now - 20000 or (t > now and appointment(index, now) == 0) then
        come = 1
      end
    end
    if come == 0 then
      redis.call('ZADD', K.IDLE .. index, 'NX', now, worker)
    end
  end
  indexes[#indexes + 1] = come
end
return {1, now, reaped, redis.call('SMEMBERS', K.STOP .. worker), indexes, v[3] or '', tonumber(v[4]),
  redis.call('HLEN', K.RUN .. worker), more}
