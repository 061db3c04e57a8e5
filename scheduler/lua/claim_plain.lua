-- claim_plain.lua: takes from the queues of one index where all that are due have no limit
-- of any kind, no keys, and nothing in front of their list: what claim.lua would do, before
-- all that it needs is made; and beyond the free slots, what the worker wants ahead. Put in
-- front of the rest, behind next.lua. Where one of them is not so, nothing is changed and
-- all is left to claim.lua.

-- plain_queue returns a queue that is so, or nil.
local function plain_queue(name, index)
  local v = redis.call('HMGET', K.QUEUE .. name, 'index', 'rate', 'frozen', 'held', 'waiting', 'running', 'later', 'front',
    'seq', 'big', 'work', 'gone', 'cap', 'dear', 'over', 'limits', 'place', 'key', 'spent')
  if v[1] == index and v[2] == '' and v[3] == '0' and v[4] == '' and v[5] ~= '0' and v[7] == '0' and v[8] == '0'
    and v[12] == '0' and v[13] == '0' and v[14] == '0' and v[15] == '' and v[16] == '' and v[17] == '' and v[18] == '' then
    return {name = name, waiting = tonumber(v[5]), running = tonumber(v[6]), seq = tonumber(v[9]), big = tonumber(v[10]),
      work = v[11], spent = tonumber(v[19]), n = 0}
  end
end

-- share_out gives each queue an equal part of the slots, then the rest goes round again; it
-- returns what all take.
local function share_out(list, slots)
  local n = slots
  while #list > 0 and n > 0 do
    local rest = {}
    for j, q in ipairs(list) do
      local part = math.ceil(n / (#list - j + 1))
      local k = math.min(part, q.waiting - q.n)
      q.n, n = q.n + k, n - k
      if q.n < q.waiting and k > 0 then
        rest[#rest + 1] = q
      end
    end
    list = rest
  end
  return slots - n
end

-- plain_claim is the whole claim, or nil.
local function plain_claim()
  if again or not only or slots + tonumber(ARGV[7]) <= 0 then
    return nil
  end
  local index, part, room = only, tonumber(ARGV[6]), tonumber(ARGV[5])
  local free, slots, fence = slots, slots + tonumber(ARGV[7]), fence
  due = redis.call('ZRANGEBYSCORE', K.DUE .. index, '-inf', string.format('%d', now + tonumber(ARGV[3])), 'WITHSCORES',
    'LIMIT', 0, math.min(slots, MAX_QUEUES))
  local list, wanted = {}, 0
  for i = 1, #due, 2 do
    local q = tonumber(due[i + 1]) <= now and string.byte(due[i], 1) ~= 64 and plain_queue(due[i], index)
    if not q then
      return nil
    end
    list[#list + 1] = q
    wanted = wanted + math.min(part, q.waiting)
    if part > 1 and wanted >= slots then
      break
    end
  end
  free = free - share_out(list, slots)
  local first, run, queues, at = fence, {}, {}, string.format(' %d ', now)
  for _, q in ipairs(list) do
    if q.n > 0 then
      room = room - q.n * (q.big + 1)
      if room < 0 then
        return nil
      end
      local ids = redis.call('LRANGE', K.WAIT .. q.name, 0, q.n - 1)
      if #ids < q.n then
        return nil
      end
      local recs = redis.call('HMGET', K.TASKS .. q.name, unpack(ids))
      local granted, tail, n = {now}, string.format(' %d %s', number, q.name), #run
      for i = 1, q.n do
        local id, rec = ids[i], recs[i]
        if not rec then
          return nil
        end
        run[n + 2 * i - 1] = id
        run[n + 2 * i] = string.format('%d%s%d%s', fence, at, q.seq + i, tail)
        granted[2 * i], granted[2 * i + 1] = id, rec
        fence = fence + 1
      end
      n = #queues
      queues[n + 1], queues[n + 2], queues[n + 3], queues[n + 4] = q.name, index, q.work, granted
    end
  end
  if #run == 0 then
    return nil
  end
  local more
  for _, q in ipairs(list) do
    if q.n > 0 then
      redis.call('LTRIM', K.WAIT .. q.name, q.n, -1) -- a removal first: passes when memory is full
      redis.call('HSET', K.QUEUE .. q.name, 'waiting', q.waiting - q.n, 'running', q.running + q.n, 'seq', q.seq + q.n,
        'spent', string.format('%d', q.spent + q.n), 'upto', string.format('%d', now))
      if q.n < q.waiting then
        redis.call('ZADD', K.DUE .. index, string.format('%d', now), q.name)
      else
        redis.call('ZREM', K.DUE .. index, q.name)
      end
    end
    if q.n < q.waiting then
      more = more or q.name
    end
  end
  lease_write(run)
  claim_write(fence)
  local next = come_next(worker, index, free, now, more)
  next[4] = more and 1
  return {1, now + clock_passed(), first, {next}, queues, 0}
end

local plain = plain_claim()
if plain then
  return plain
end
