-- settle.lua: report the outcomes of a worker's tasks, each under its fence.
--
-- KEYS[1]  {ns}:clock
-- ARGV     worker, then for each task: id, fence, outcome, number, text, extra
--   done      text = the result with its flag in front ('-' whole, '+' cut)
--   failed    charged; number = a random part of a million for the jitter; text = error
--   dead      charged, no retry; text = error
--   retry     charged, again in number µs; text = error
--   throttled not charged; the queue, or the limit that extra names, is frozen for number
--             µs; back to the front
--   back      not charged, back to the front; number = 1 when it was never started
--   postponed not charged, again in number µs
--   crashed   its plugin process died with it; charged as a crash, not as an attempt;
--             number = most crashes; text = error
--   cancelled ends it; number = 1 when it was never started
-- extra is '' or lines: "l LIMIT" (what a throttle is of), "a LIMIT tokens" (the actual
-- cost), "r LIMIT left reset" (upstream's count: tokens left, µs until it begins anew).
-- LIMIT is a limit that the task was charged, "queue" or "key"; a throttle of another is
-- one of the queue, and nothing else is done with it.
-- A task that somebody wants cancelled ends so, whatever its outcome but done.
--
-- Returns for each task: 1 settled, or "QUEUE LIMIT..." settled, and extra names limits that
-- the task was not charged; 0 the fence is not in force (nothing changed).

worker = ARGV[1] -- declared in settle_plain.lua
local ids = {}
for i = 2, #ARGV, 6 do
  ids[#ids + 1] = ARGV[i]
end
local run = redis.call('HMGET', K.RUN .. worker, unpack(ids))
local now, off = clock_read(KEYS[1])
local stops = {}
for _, id in ipairs(redis.call('SMEMBERS', K.STOP .. worker)) do
  stops[id] = true
end

local reply, queues, order, gone, seen, told, count = {}, {}, {}, {}, {}, {}, 0
for k = 1, #ids do
  local i, id = k * 6 - 4, ids[k]
  local fence, start, seq, _, name, charge, key
  if run[k] and not seen[id] then
    fence, start, seq, _, name, charge, key = lease_read(run[k])
  end
  reply[k] = 0
  if fence == ARGV[i + 1] then
    reply[k] = 1
    seen[id] = true
    count = count + 1
    gone[count] = id
    local batch = queues[name]
    if not batch then
      batch = {}
      queues[name] = batch
      order[#order + 1] = name
    end
    local outcome, number, extra, limit = ARGV[i + 2], 0, ARGV[i + 5], nil
    if outcome ~= 'done' then
      number = tonumber(ARGV[i + 3])
      if stops[id] and outcome ~= 'cancelled' then
        number = outcome == 'back' and number or 0
        outcome = 'cancelled'
      end
    end
    if extra == '' then
      extra = nil
    else
      limit = string.match(extra, '^l (%S+)')
    end
    batch[#batch + 1] = {id = id, outcome = outcome, number = number, text = ARGV[i + 4], start = start, seq = seq, charge = charge, key = key,
      extra = extra, limit = limit, state = false}
    if extra then
      told[k] = batch[#batch]
      told[k].queue = name
    end
  end
end
if count == 0 then
  return reply
end
redis.call('HDEL', K.RUN .. worker, unpack(gone)) -- a removal first: passes when memory is full
if next(stops) then
  redis.call('SREM', K.STOP .. worker, unpack(gone))
end
for _, name in ipairs(order) do
  settle_queue(name, worker, queues[name], now)
end
for k, t in pairs(told) do
  if t.not_under then
    reply[k] = t.queue .. ' ' .. t.not_under
  end
end
clock_write(KEYS[1], now, off)
return reply
