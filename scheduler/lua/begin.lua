-- begin.lua: what a claim begins with, whichever script makes it: who asks, and when. In front
-- of claim_plain.lua. ARGV is that of claim.lua, and its worker without a lease ends it here.

local worker, number = ARGV[1], tonumber(ARGV[2])
local last, reaped, lease = unpack(redis.call('HMGET', K.WORKER .. worker, 'claim', 'reaped', 'lease'))
if not last or reaped then
  return {0}
end
local again = number <= tonumber(last)
local now, off, _, fence = clock_read(KEYS[1])
-- a fence is never given twice, also when Redis has lost its last writes
if fence < now then
  fence = now
end
local due -- what is due in the index, where one is asked: {entry, instant, entry, ...}

-- the only index that is asked, and its free slots; nil where more are, or one queue of it
local only, slots
if #ARGV == 9 and not string.find(ARGV[8], '=', 1, true) then
  only, slots = ARGV[8], math.min(tonumber(ARGV[9]), tonumber(ARGV[4]))
end

-- lease_write keeps leases: id, lease, id, lease ... Redis keeps a small hash of short values
-- as a list, and goes through it for each field: 32 at a time make it a table, by a value
-- that is too long for a list, and is taken out again.
local function lease_write(run)
  if #run < 64 then
    redis.call('HSET', K.RUN .. worker, unpack(run))
  else
    redis.call('HSET', K.RUN .. worker, '', string.rep(' ', 65), unpack(run))
    redis.call('HDEL', K.RUN .. worker, '')
  end
end

-- claim_write notes that the claim was made, and the fence that comes next. It is a sign of
-- life too: a tick may be missed while Redis is away for a moment.
local function claim_write(next_fence)
  redis.call('HSET', K.WORKER .. worker, 'claim', number)
  if lease then
    redis.call('ZADD', K.WORKERS, 'XX', now + tonumber(lease), worker)
  end
  clock_write(KEYS[1], now, off, next_fence)
end
