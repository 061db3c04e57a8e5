-- count.lua: gives tasks that run a place of their key's cap, before keys that had none get
-- one. define.lua wants it done, for all that runs, by calls of bounded length.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, then
--   '1'             what is granted from now on has places; returns the workers
--   '2'             all that runs has them, unless the caps have come since '1'
--   worker, cursor  a part of its leases; returns the cursor of the next, '0' after the last
-- Returns nothing where the queue has no keys.

local name = ARGV[1]
local now, off = clock_read(KEYS[1])
local q = load_queue(name, now)
if not q or not q.keys then
  return {}
elseif not ARGV[3] then
  if ARGV[2] == '1' or keys_default(q).counted then
    redis.call('HSET', K.QUEUE .. name, 'counted', ARGV[2])
  end
  return redis.call('ZRANGE', K.WORKERS, 0, -1)
end
local worker, mine = ARGV[2], string.format('-%x', tonumber(redis.call('HGET', K.QUEUE .. name, 'no')))
local scan = redis.call('HSCAN', K.RUN .. worker, ARGV[3], 'COUNT', 100)
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
if #leases > 0 then
  redis.call('HSET', K.RUN .. worker, unpack(leases))
  keys_write(q, order, now)
  clock_write(KEYS[1], now, off)
end
return {scan[1]}
