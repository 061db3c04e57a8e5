-- define.lua: create a queue, change it, or bring it to what a file declares.
--
-- A setting that a file declares is kept beside the one in force ('d_' in front);
-- where the two differ, somebody has overridden it, and a later apply leaves it so.
-- A change of rate carries the bucket over (bucket_change).
--
-- KEYS[1]  {ns}:clock
-- ARGV     mode, queue, owner ('' but for apply and undeclare), then field, value, ...
--   create     refused when the queue exists
--   update     refused when it does not
--   apply      creates it or adopts it; refused when another owner declares it
--   check      changes nothing; {0} where apply would find all as it is declared
--   undeclare  the owner's file has it no more: held, kept
--
-- Returns {1, instant of the change of rate, or 0}, {0} the queue exists (create), does
-- not (update, undeclare) or needs no change (check), {-1, owner} another owner declares
-- it.

local mode, name, owner = ARGV[1], ARGV[2], ARGV[3]
local key = K_QUEUE .. name
local flat, old = redis.call('HGETALL', key), {}
for i = 1, #flat, 2 do
  old[flat[i]] = flat[i + 1]
end
local exists = old.no ~= nil
if mode == 'create' and exists or (mode == 'update' or mode == 'undeclare') and not exists then
  return {0}
end
if (mode == 'apply' or mode == 'check') and old.owner and old.owner ~= owner and old.undeclared ~= '1' then
  return {-1, old.owner}
end
if mode == 'check' then
  local same = old.owner == owner and old.undeclared == '0'
  for i = 4, #ARGV, 2 do
    same = same and old['d_' .. ARGV[i]] == ARGV[i + 1]
  end
  return {same and 0 or 1, 0}
end
if mode == 'undeclare' and (old.owner ~= owner or old.undeclared == '1') then
  return {1, 0}
end

local now, off = clock_read(KEYS[1])
local new, set = {}, {}
for k, v in pairs(old) do
  new[k] = v
end
local function put(field, value)
  new[field] = value
  set[#set + 1] = field
  set[#set + 1] = value
end
for i = 4, #ARGV, 2 do
  local field, value = ARGV[i], ARGV[i + 1]
  if mode == 'apply' then
    local declared = old['d_' .. field]
    if not declared or declared == old[field] then
      put(field, value)
    end
    put('d_' .. field, value)
  else
    put(field, value)
  end
end
if mode == 'apply' then
  put('owner', owner)
  put('undeclared', '0')
elseif mode == 'undeclare' then
  put('undeclared', '1')
end
if not exists then
  put('no', redis.call('HINCRBY', KEYS[1], 'queues', 1))
  put('created', now)
  redis.call('HSET', K_NUMBERS, new.no, name)
  redis.call('ZADD', K_QUEUES, 0, name)
end
put('used', now)
put('index', new.pool .. ':' .. new.handler)
put('work', new.timeout .. ' ' .. new.attempts)
put('held', new.paused == '1' and 'paused' or new.undeclared == '1' and 'undeclared' or '')

local changed = 0
local function split(rate)
  local n, p, b = string.match(rate or '', '^(%d+) (%d+) (%d+)$')
  return tonumber(n), tonumber(p), tonumber(b)
end
if exists and new.rate ~= old.rate then
  local n, p, b = split(old.rate)
  local n2, p2, b2 = split(new.rate)
  changed = now
  if n and n2 then
    local f, r
    f, r, changed = bucket_change(n, p, b, tonumber(old.full_at) or 0, tonumber(old.rem) or 0, now, n2, p2, b2)
    put('full_at', f)
    put('rem', r)
  else
    put('full_at', 0)
    put('rem', 0)
  end
end
redis.call('HSET', key, unpack(set))
redis.call('SADD', K_INDEXES, new.index)
if (tonumber(new.expire_after) or 0) > 0 then
  redis.call('ZADD', K_EXPIRE, now, name) -- a tick works out when
end
if mode == 'apply' then
  redis.call('SADD', K_OWNED .. owner, name)
elseif mode == 'undeclare' then
  redis.call('SREM', K_OWNED .. owner, name)
end
clock_write(KEYS[1], now, off)
if old.index and old.index ~= new.index then
  redis.call('ZREM', K_DUE .. old.index, name)
end
local q = load_queue(name)
local t = index_queue(q, now)
if t then
  announce(q, t, now)
end
return {1, changed}
