-- set.lua: create a limit, change it, or bring it to what a file declares.
--
-- A setting that a file declares is kept beside the one in force ('d_' in front); where
-- the two differ, somebody has overridden it, and a later apply leaves it so. A change
-- of rates carries the buckets over: no token appears retroactively.
--
-- KEYS[1]  {ns}:clock
-- ARGV     mode, name, owner (apply, check and undeclare), by and what for the log of
--          edits ('' for not to be logged), for in µs (set: the rates hold so long, then
--          the present ones come back; 0 for good), then field, value, ... of rate, cap
--          and debt
--   set        creates it or changes it
--   apply      creates it or adopts it; refused when another owner declares it
--   check      changes nothing; {0} where apply would find all as it is declared
--   undeclare  the owner's file has it no more: kept, may be removed
--
-- Returns {what, at}
--   what  1 created, 2 changed, 0 was so already (check: needs no change)
--   at    the engine time from which the rates hold (µs)
-- or {-1, owner} another owner declares it.

use_limits()
local mode, name, owner, by, during = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local key = K.LIMIT .. name
local flat, old = redis.call('HGETALL', key), {}
for i = 1, #flat, 2 do
  old[flat[i]] = flat[i + 1]
end
local exists = old.rate ~= nil
if (mode == 'apply' or mode == 'check') and old.owner and old.owner ~= owner and old.undeclared ~= '1' then
  return {-1, old.owner}
end
if mode == 'check' then
  local same = exists and old.owner == owner and old.undeclared == '0'
  for i = 7, #ARGV, 2 do
    same = same and old['d_' .. ARGV[i]] == ARGV[i + 1]
  end
  return {same and 0 or 2, 0}
end
if mode == 'undeclare' and (old.owner ~= owner or old.undeclared == '1') then
  return {0, 0}
end

local now, off = clock_read(KEYS[1])
local put, given = {}, {}
local new = {rate = old.rate or '', cap = old.cap or '0', debt = old.debt or '0'}
for i = 7, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if mode == 'apply' then
    local declared = old['d_' .. field]
    if not declared or declared == old[field] then
      new[field] = value
    end
    put[#put + 1] = 'd_' .. field
    put[#put + 1] = value
  else
    new[field] = value
    given[field] = true
  end
end
if mode ~= 'set' then
  put[#put + 1] = 'owner'
  put[#put + 1] = owner
  put[#put + 1] = 'undeclared'
  put[#put + 1] = mode == 'apply' and '0' or '1'
end

local l = limit_load(name, now)
local what, at = exists and 0 or 1, now
if not exists then
  l = {name = name, now = now, b = rates_read(''), cap = 0, running = 0, turn = 0, ahead = 0}
  limits_read[name] = l
end
local ends = mode == 'set' and l.b.till and given.rate
if new.rate ~= (old.rate or '') or during > 0 or ends then
  what = math.max(what, exists and 2 or 1)
  if during > 0 then
    local base = l.b.base or old.rate or ''
    l.b, at = buckets_change(l.b, new.rate, now)
    l.b.base, l.b.till = base, math.max(at, now) + during
    put[#put + 1] = 'over'
    put[#put + 1] = string.format('%d %s', l.b.till, new.rate)
    new.rate = base
  elseif mode == 'set' or not l.b.till then
    l.b, at = buckets_change(l.b, new.rate, now)
    l.b.reverted = true -- ends an override
  else
    l.b.base = new.rate -- it comes back when the override ends
  end
end
for field, value in pairs(new) do
  if value ~= old[field] then
    what = math.max(what, 2)
  end
  put[#put + 1] = field
  put[#put + 1] = value
end
if not exists then
  what = 1
end
l.cap = tonumber(new.cap)

clock_write(KEYS[1], now, off)
redis.call('ZADD', K.LIMITS, 0, name)
limit_save(l, unpack(put))
if by ~= '' and what > 0 then
  log_edit(key, now, by, ARGV[5])
end
if mode == 'apply' then
  redis.call('SADD', K.LIMITSOF .. owner, name)
elseif mode == 'undeclare' then
  redis.call('SREM', K.LIMITSOF .. owner, name)
end
-- tasks that cost more than it could hold may be possible now: a claim finds out
for _, entry in ipairs(redis.call('SMEMBERS', K.STUCK .. name)) do
  local index, queue = string.match(entry, '^(%S+) (.*)$')
  local v = redis.call('HMGET', K.QUEUE .. queue, 'index', 'place')
  if v[1] == index and (v[2] or '') == '' then -- else it went elsewhere since, or is gone
    redis.call('ZADD', K.DUE .. index, string.format('%d', now), queue)
    wake_for(index, queue)
  end
end
redis.call('DEL', K.STUCK .. name)
limit_announce(l, now)
return {what, at}
