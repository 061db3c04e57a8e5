-- expire.lua: queues that go when they are idle for long (expire_after).

-- expire_queue removes a queue that holds no task but its history, has not been used
-- for its expire_after and whose bucket is full, so that making it anew gives no token
-- that it would not have. Else it notes when to look again. A declared queue stays.
local function expire_queue(name, now)
  local q = load_queue(name, now)
  local v = redis.call('HMGET', K.QUEUE .. name, 'expire_after', 'used', 'owner', 'undeclared', 'dead', 'ended', 'own', 'last_id')
  local after = tonumber(v[1]) or 0
  if not q or after == 0 or (v[3] and v[4] ~= '1') then
    redis.call('ZREM', K.EXPIRE, name)
    return
  end
  -- a submit leaves no more than the id that it gave last, which is not before its instant
  local at = math.max(tonumber(v[2]) or 0, tonumber(v[8]) or 0) + after
  if q.waiting + q.later + q.running + (tonumber(v[5]) or 0) > 0 then
    at = now + after
  end
  use_corrections()
  at = math.max(at, buckets_whole(q.b))
  if q.keys and redis.call('EXISTS', K.KEYS .. name) == 1 then
    at = math.max(at, now + 1000000) -- keys whose buckets are not full, which sweep.lua drops
  end
  if at > now then
    redis.call('ZADD', K.EXPIRE, at, name)
    return
  end
  local ended = tonumber(v[6]) or 0
  if v[7] == '1' and ended > 200 then -- the ids of its tasks are freed in steps, one a tick
    local ids = redis.call('LRANGE', K.ENDED .. name, 0, 199)
    redis.call('LTRIM', K.ENDED .. name, 200, -1)
    redis.call('HDEL', K.ENDS .. name, unpack(ids))
    forget_tasks(name, '1', ids)
    redis.call('HSET', K.QUEUE .. name, 'ended', ended - #ids)
    return
  end
  discard_queue(q, now)
end

-- expire_some looks at up to max queues whose instant has come.
local function expire_some(max, now)
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', K.EXPIRE, '-inf', now, 'LIMIT', 0, max)) do
    expire_queue(name, now)
  end
end
