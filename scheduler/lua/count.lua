-- count.lua: gives tasks that run a place of their key's cap, before keys that had none get
-- one. define.lua wants it done, for all that runs, by calls of bounded length. Meanwhile
-- what is granted takes places: the queue's field counted is "1 n" while count n is under
-- way, "2 n" when it is done. Any change of the queue puts it back to 0.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, then
--   begin                   returns n, and the workers, none where it is done already
--   leases, worker, cursor  gives a part of a worker's leases their places; returns the cursor
--                           of the next part, '0' after the last
--   end, n                  all of them have places, unless the queue was changed meanwhile
-- Returns nothing where the queue has no keys.

local name, verb = ARGV[1], ARGV[2]
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
if not q or not q.keys then
  return {}
end
local counted, no = unpack(redis.call('HMGET', K.QUEUE .. name, 'counted', 'no'))
if verb == 'begin' then
  local done = string.match(counted or '', '^2 (%d+)$')
  if done then
    return {done}
  end
  local n = redis.call('HINCRBY', K.QUEUE .. name, 'counts', 1)
  redis.call('HSET', K.QUEUE .. name, 'counted', '1 ' .. n)
  return {tostring(n), unpack(redis.call('ZRANGE', K.WORKERS, 0, 7000))}
elseif verb == 'end' then
  if counted == '1 ' .. ARGV[3] then
    redis.call('HSET', K.QUEUE .. name, 'counted', '2 ' .. ARGV[3])
  end
  return {}
end
local worker, mine = ARGV[3], string.format('-%x', tonumber(no))
local scan = redis.call('HSCAN', K.RUN .. worker, ARGV[4], 'COUNT', 100)
local run, leases, keys, order, seen = scan[2], {}, {}, {}, {}
for i = 1, #run, 2 do
  local id = run[i]
  local _, _, _, _, queue, charge, key = lease_read(run[i + 1])
  if queue == name and string.sub(id, 14) == mine and key and not charge.place and charge.key > 0 and not seen[id] then
    seen[id] = true
    local k = keys_load(q, {key}, now)[1]
    k.running = k.running + 1
    if not keys[key] then
      keys[key] = true
      order[#order + 1] = k
    end
    leases[#leases + 1] = id
    leases[#leases + 1] = string.gsub(run[i + 1], '( key=%d+);', '%1:', 1)
  end
end
for i = 1, #leases, 1000 do
  redis.call('HSET', K.RUN .. worker, unpack(leases, i, math.min(i + 999, #leases)))
end
if #order > 0 then
  keys_write(q, order, now)
  clock_write(KEYS[1], now, off)
end
return {scan[1]}
