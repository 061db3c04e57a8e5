-- settle_plain.lua: tasks that are done, where nobody waits for the places that they had: what
-- settle.lua would do, before all that it needs is made. Put in front of the rest. Where one
-- of them is not so, nothing is changed and all are left to settle.lua, in its form.
--
-- ARGV     "*worker", then for each task: id, fence, result with its flag in front
--
-- Returns what settle.lua does, or {} for all settled.

local ARGV = ARGV
local worker = string.match(ARGV[1], '^%*(.*)$')

-- uncharged returns the named limits that tasks were charged, as pairs of a name and how many
-- run then; charges are how many tasks had each, as their leases have them, without a key.
-- nil where a place under a cap comes free, or a key's state is to be swept.
local function uncharged(charges, now)
  local ended, order, out = {}, {}, {}
  for charge, n in pairs(charges) do
    local last = string.byte(charge, -1)
    if last == 58 or string.find(charge, ' queue=0', 1, true) then
      return nil -- a place of its key; or the queue counts tasks that cost it nothing
    elseif last == 59 and redis.call('ZRANGEBYSCORE', K.SWEEP, '-inf', string.format('%d', now), 'LIMIT', 0, 1)[1] then
      return nil
    end
    for limit in string.gmatch(charge, ' ([^=]+)=') do
      if limit ~= 'queue' and limit ~= 'key' then
        if not ended[limit] then
          order[#order + 1] = limit
        end
        ended[limit] = (ended[limit] or 0) + n
      end
    end
  end
  for _, limit in ipairs(order) do
    local v = redis.call('HMGET', K.LIMIT .. limit, 'rate', 'cap', 'running')
    if v[1] then
      if (v[2] or '0') ~= '0' then
        return nil
      end
      out[#out + 1] = limit
      out[#out + 1] = string.format('%d', (v[3] or 0) - ended[limit])
    end
  end
  return out
end

local function plain_ends()
  local ids, n = {}, 0
  for i = 2, #ARGV, 3 do
    n = n + 1
    ids[n] = ARGV[i]
  end
  local run = redis.call('HMGET', K.RUN .. worker, unpack(ids))
  local now, off = clock_read(KEYS[1])
  local head, tail = string.format('done %d ', now), ' ' .. worker .. '\n'
  local reply, queues, order, gone, charges = {}, {}, {}, {}, {}
  for k = 1, n do
    local id, fence, start, name, charge = ids[k], nil, nil, nil, nil
    reply[k] = 0
    if run[k] then
      fence, start, name, charge = string.match(run[k], '^(%d+) (%d+) %d+ %d+ (%S+)([^:;]*[:;]?)')
    end
    if fence and fence == ARGV[k * 3] and not gone[id] then
      local q = queues[name]
      if not q then
        local v = redis.call('HMGET', K.QUEUE .. name, 'no', 'running', 'cap', 'history', 'ended', 'own', 'done')
        if not v[1] or v[3] ~= '0' or v[6] == '1' then
          return nil -- removed, or somebody may wait for a place, or own ids become free
        end
        q = {suffix = string.format('-%x', tonumber(v[1])), running = tonumber(v[2]), keep = tonumber(v[4]) or 0,
          ended = tonumber(v[5]) or 0, done = tonumber(v[7]) or 0, ids = {}, ends = {}}
        queues[name] = q
        order[#order + 1] = name
      end
      local n = #q.ids + 1
      if string.sub(id, 14) ~= q.suffix or n > q.keep then
        return nil -- of a queue that was removed while it ran; or a history shorter than this call
      end
      q.ids[n], q.ends[2 * n - 1], q.ends[2 * n] = id, id, head .. start .. tail .. ARGV[k * 3 + 1]
      if charge ~= '' then
        charges[charge] = (charges[charge] or 0) + 1
      end
      reply[k], gone[id] = 1, true
      gone[#gone + 1] = id
    end
  end
  if #gone == 0 then
    return reply
  end
  local limits = uncharged(charges, now)
  if not limits then
    return nil
  end
  redis.call('HDEL', K.RUN .. worker, unpack(gone)) -- a removal first: passes when memory is full
  if redis.call('EXISTS', K.STOP .. worker) == 1 then
    redis.call('SREM', K.STOP .. worker, unpack(gone))
  end
  for _, name in ipairs(order) do
    local q = queues[name]
    local n = #q.ids
    local over = math.min(q.ended + n - q.keep, 500) -- a history that was made shorter shrinks in steps
    if over > 0 then
      local old = redis.call('LRANGE', K.ENDED .. name, 0, over - 1)
      if #old > 0 then
        redis.call('LTRIM', K.ENDED .. name, #old, -1)
        redis.call('HDEL', K.ENDS .. name, unpack(old))
        redis.call('HDEL', K.TASKS .. name, unpack(old))
        q.ended = q.ended - #old
      end
    end
    redis.call('RPUSH', K.ENDED .. name, unpack(q.ids))
    redis.call('HSET', K.ENDS .. name, unpack(q.ends))
    redis.call('HSET', K.QUEUE .. name, 'running', q.running - n, 'done', q.done + n, 'ended', q.ended + n,
      'used', string.format('%d', now))
  end
  for i = 1, #limits, 2 do
    redis.call('HSET', K.LIMIT .. limits[i], 'running', limits[i + 1])
  end
  clock_write(KEYS[1], now, off)
  return #gone == n and {} or reply
end

if worker then
  local plain = plain_ends()
  if plain then
    return plain
  end
  local long = {worker}
  for i = 2, #ARGV, 3 do
    local n = #long
    long[n + 1], long[n + 2], long[n + 3], long[n + 4], long[n + 5], long[n + 6] = ARGV[i], ARGV[i + 1], 'done', '0', ARGV[i + 2], ''
  end
  ARGV = long
end
