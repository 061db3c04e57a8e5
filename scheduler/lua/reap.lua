-- reap.lua: take tasks back from a worker whose lease has ended.

-- reap_tasks returns up to max tasks of a worker to the front of their queues,
-- uncharged; those that somebody wants cancelled end. A grant whose start lay after
-- the instant alive was never started. True when none is left.
local function reap_tasks(worker, alive, max, now)
  local cursor, flat = '0', {}
  repeat -- a hash that has shrunk may have nothing where the scan begins
    local scan = redis.call('HSCAN', K.RUN .. worker, cursor, 'COUNT', max)
    cursor, flat = scan[1], scan[2]
  until #flat > 0 or cursor == '0'
  if #flat == 0 then
    return true
  end
  local ids, queues, order, stops = {}, {}, {}, {}
  for _, id in ipairs(redis.call('SMEMBERS', K.STOP .. worker)) do
    stops[id] = true
  end
  for i = 1, #flat, 2 do
    if #ids == max then
      break
    end
    local _, start, seq, _, name, charge, key = lease_read(flat[i + 1])
    ids[#ids + 1] = flat[i]
    if not queues[name] then
      queues[name] = {}
      order[#order + 1] = name
    end
    local wasted = tonumber(start) > alive and 1 or 0
    local outcome = stops[flat[i]] and 'cancelled' or 'back'
    table.insert(queues[name], {id = flat[i], outcome = outcome, number = wasted, text = '',
      start = start, seq = seq, charge = charge, key = key})
  end
  redis.call('HDEL', K.RUN .. worker, unpack(ids)) -- a removal first: passes when memory is full
  for _, name in ipairs(order) do
    settle_queue(name, worker, queues[name], now)
  end
  return redis.call('HLEN', K.RUN .. worker) == 0
end

-- forget_worker drops what is left of a worker.
local function forget_worker(worker)
  local indexes = redis.call('HGET', K.WORKER .. worker, 'indexes') or ''
  redis.call('ZREM', K.WORKERS, worker)
  redis.call('DEL', K.WORKER .. worker, K.RUN .. worker, K.STOP .. worker, K.PROGRESS .. worker)
  for index in string.gmatch(indexes, '%S+') do
    redis.call('ZREM', K.IDLE .. index, worker)
  end
end
