-- define.lua: create a queue, change it, or bring it to what a file declares.
--
-- A setting that a file declares is kept beside the one in force ('d_' in front);
-- where the two differ, somebody has overridden it, and a later apply leaves it so.
-- A change of rates carries the buckets over. Fields x_<key> are exceptions of keys; an
-- apply takes away those that the file has no more.
--
-- KEYS[1]  {ns}:clock
-- ARGV     mode, queue, owner ('' but for apply and undeclare), by and what for the log of
--          edits ('' for not to be logged), for in µs (update: the rates hold so long,
--          then the present ones come back; 0 for good), then field, value, ...
--   create     refused when the queue exists
--   update     refused when it does not
--   apply      creates it or adopts it; refused when another owner declares it
--   check      changes nothing; {0} where apply would find all as it is declared
--   undeclare  the owner's file has it no more: held, kept
--
-- Returns {1, instant of the change of rates, or 0}, {0} the queue exists (create), does
-- not (update, undeclare) or needs no change (check), {-1, owner} another owner declares
-- it, {-2, limit} there is no such limit, {-3, tasks} a key block comes or goes only while
-- the queue holds no task, {-4, 0} keys that had no cap get one: count.lua goes first.

use_limits()
local mode, name, owner, by, during = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[6])
local key = K.QUEUE .. name
local flat, old = redis.call('HGETALL', key), {}
for i = 1, #flat, 2 do
  old[flat[i]] = flat[i + 1]
end
local exists = old.no ~= nil
if mode == 'create' and exists or (mode == 'update' or mode == 'undeclare') and not exists then
  return {0}
end
local declares = mode == 'apply' or mode == 'check'
if declares and old.owner and old.owner ~= owner and old.undeclared ~= '1' then
  return {-1, old.owner}
end
local given = {}
for i = 7, #ARGV, 2 do
  given[ARGV[i]] = ARGV[i + 1]
end
if declares then
  for field in pairs(old) do
    local x = string.match(field, '^d_(x_.*)$')
    if x and not given[x] and old[field] ~= '' then
      given[x] = ''
    end
  end
end

local set, new = {}, {}

-- capped tells whether some key that had no cap gets one.
local function capped()
  use_keys()
  local function cap_of(fields, field)
    return (key_rules({cap = tonumber(string.match(fields.key, '^%d+'))}, field and fields[field]))
  end
  if cap_of(old) == 0 and cap_of(new) > 0 then
    return true
  end
  for field in pairs(new) do
    if string.sub(field, 1, 2) == 'x_' and cap_of(old, field) == 0 and cap_of(new, field) > 0 then
      return true
    end
  end
  return false
end

for k, v in pairs(old) do
  new[k] = v
end
local function put(field, value)
  new[field] = tostring(value)
  set[#set + 1] = field
  set[#set + 1] = value
end
local same = old.owner == owner and old.undeclared == '0'
for field, value in pairs(given) do
  if declares then
    local declared = old['d_' .. field]
    same = same and declared == value
    if not declared or declared == old[field] then
      put(field, value)
    end
    put('d_' .. field, value)
  else
    put(field, value)
  end
end
local tasks = (tonumber(old.waiting) or 0) + (tonumber(old.later) or 0) + (tonumber(old.running) or 0) + (tonumber(old.dead) or 0)
if exists and tasks > 0 and ((old.key or '') == '') ~= ((new.key or '') == '') then
  return {-3, tasks}
end
local uncounted = (old.key or '') ~= '' and (new.key or '') ~= '' and not string.find(old.counted or '', '^2') and capped()
if mode == 'check' then
  return {uncounted and -4 or same and 0 or 1, 0}
end
if mode == 'undeclare' and (old.owner ~= owner or old.undeclared == '1') then
  return {1, 0}
end
for limit in string.gmatch(new.limits or '', '%S+') do
  if redis.call('EXISTS', K.LIMIT .. limit) == 0 then
    return {-2, limit}
  end
end
if uncounted then
  return {-4, 0}
end

local now, off = clock_read(KEYS[1])
if mode == 'apply' then
  put('owner', owner)
  put('undeclared', '0')
elseif mode == 'undeclare' then
  put('undeclared', '1')
end
put('used', now)
put('index', new.pool .. ':' .. new.handler)
put('work', new.timeout .. ' ' .. new.attempts)
put('held', new.paused == '1' and 'paused' or new.undeclared == '1' and 'undeclared' or '')

-- the queue's own rates
local changed, b = 0, buckets_read(old.rate, old.bucket, old.over, old.frozen, now)
local inforce = b.rate
if exists and (new.rate ~= old.rate or during > 0 or b.till and given.rate and mode == 'update') then
  if during > 0 then
    local base = b.base or old.rate
    b, changed = buckets_change(b, new.rate, now)
    put('over', string.format('%d %s', math.max(changed, now) + during, new.rate))
    put('rate', base)
  elseif mode == 'update' or not b.till then
    b, changed = buckets_change(b, new.rate, now)
    if old.over then
      put('over', '')
    end
  end -- else the new rates come back when the override ends
  put('bucket', buckets_text(b))
elseif b.reverted then
  put('over', '')
  put('bucket', buckets_text(b))
end

-- the rates, caps and weights of its keys
local q = exists and load_queue(name, now)
local keys, stale = {}, false
if (new.key or '') ~= '' then
  use_keys()
  local before = exists and q.keys and keys_default(q) or {gens = {}, gen = 0, rates = '', cap = 0, weight = 1}
  local cap, weight, rates = string.match(new.key, '^(%d+) (%d+) (.*)$')
  local after = {cap = tonumber(cap), weight = tonumber(weight), rates = rates, gens = before.gens, gen = before.gen, states = {}}
  if after.gen == 0 or before.rates ~= rates then
    after.gen = after.gen + 1
    after.gens[after.gen] = {at = now, rates = rates}
    local text = {}
    for g = math.max(1, after.gen - 63), after.gen do
      if after.gens[g] then
        text[#text + 1] = string.format('%d %d %s', g, after.gens[g].at, after.gens[g].rates)
      end
    end
    put('generations', table.concat(text, ';'))
  end
  stale = before.gen > 0 and (before.rates ~= rates or before.cap ~= after.cap or q.dear and inforce ~= b.rate)
  local exceptions = 0
  for field, value in pairs(new) do
    if string.sub(field, 1, 2) == 'x_' then
      exceptions = exceptions + (value ~= '' and 1 or 0)
      if value ~= (old[field] or '') and before.gen > 0 then
        local state = redis.call('HGET', K.KEYS .. name, string.sub(field, 3))
        local k = key_read(before, string.sub(field, 3), state, old[field], redis.call('ZSCORE', K.KEYREADY .. name, string.sub(field, 3)), now)
        local own
        k.cap, k.weight, own = key_rules(after, value)
        k.b = buckets_change(k.b, own, now)
        keys[#keys + 1] = k
      end
    end
  end
  put('exceptions', exceptions)
  if (old.counted or '0') ~= '0' then
    put('counted', '0') -- what runs has places where there are caps now
  end
  after.exceptions = exceptions > 0
  if q then
    q.defaults = after
  end
elseif q and q.keys then
  drop_keys(q)
  put('generations', '')
  put('gone', 0)
end

-- write: first of a new queue what is read most, in the order in which it is read, so that
-- it stands at the beginning of the record
if not exists then
  local first = {}
  for field in string.gmatch('index rate bucket frozen held waiting running later front seq big work gone cap exempt dear '
    .. 'over limits place key no last_id max_length used turn vt spent upto moved attempts retry_min retry_max jitter done failed '
    .. 'dead wasted debt history ended own', '%S+') do
    first[#first + 1] = field
    first[#first + 1] = new[field] or (string.find('bucket held over limits place key moved', field, 1, true) and '' or '0')
  end
  redis.call('HSET', key, unpack(first))
  put('no', redis.call('HINCRBY', KEYS[1], 'queues', 1))
  put('created', now)
  redis.call('HSET', K.NUMBERS, new.no, name)
  redis.call('ZADD', K.QUEUES, 0, name)
end
if stale then
  local n = tonumber(old.stales) or 0
  local named = old.stale or ''
  for _, blocked in ipairs({K.KEYLATER, K.KEYFULL}) do
    if redis.call('EXISTS', blocked .. name) == 1 then
      n = n + 1
      redis.call('RENAME', blocked .. name, K.KEYSTALE .. name .. ':' .. n)
      named = named .. (named ~= '' and ' ' or '') .. n
    end
  end
  put('stale', named)
  put('stales', n)
  q.defaults.stale = named ~= '' and named
end
if (old.place or '') ~= '' and (old.index ~= new.index or old.limits ~= new.limits) then
  local limits = {}
  for limit in string.gmatch(old.limits or '', '%S+') do
    limits[#limits + 1] = limit
  end
  limit_leave(old.place, old.index, name, now, limits)
  put('place', '')
end
for limit in string.gmatch(old.limits or '', '%S+') do
  redis.call('SREM', K.NAMED .. limit, name)
  redis.call('SREM', K.STUCK .. limit, old.index .. ' ' .. name) -- a claim finds it again
end
for limit in string.gmatch(new.limits or '', '%S+') do
  redis.call('SADD', K.NAMED .. limit, name)
end
local kept, none = {}, {} -- an exception that is no more leaves nothing
for i = 1, #set, 2 do
  if set[i + 1] == '' and string.find(set[i], '^d?_?x_') then
    none[#none + 1] = set[i]
  else
    kept[#kept + 1] = set[i]
    kept[#kept + 1] = set[i + 1]
  end
end
if #none > 0 then
  redis.call('HDEL', key, unpack(none))
end
redis.call('HSET', key, unpack(kept))
redis.call('SADD', K.INDEXES, new.index)
if (tonumber(new.expire_after) or 0) > 0 then
  redis.call('ZADD', K.EXPIRE, now, name) -- a tick works out when
end
if mode == 'apply' then
  redis.call('SADD', K.OWNED .. owner, name)
elseif mode == 'undeclare' then
  redis.call('SREM', K.OWNED .. owner, name)
end
if by ~= '' then
  log_edit(key, now, by, ARGV[5])
end
clock_write(KEYS[1], now, off)
if old.index and old.index ~= new.index then
  redis.call('ZREM', K.DUE .. old.index, name)
end
if #keys > 0 then
  keys_write(q, keys, now)
end
q = load_queue(name, now)
announce(q, place_queue(q, now), now)
return {1, changed}
