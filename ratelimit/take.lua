-- take.lua: take n tokens from a limit, all or nothing, for a program outside the queues.
--
-- Where queues wait at the limit, a take has one turn like a queue: it is granted when
-- the last one was before the last grant of the first queue that waits (of those that
-- somebody idle serves). Else it leaves word of what it waits for, which claims respect
-- until two seconds after the instant that it is told; soon after it only beside what the
-- queues need. It holds no place under a cap.
--
-- KEYS[1]  {ns}:clock
-- ARGV     for each take: name, n (1 or more); done one after the other
--
-- Returns for each {-1} when there is no such limit, else {granted, left, wait, now, capacity}
--   granted   1 when the n tokens were taken, else 0
--   left      whole tokens left
--   wait      µs until it is worth asking again; 0 when granted, -1 never (n > capacity)
--   now       engine time, µs: the instant of the grant
--   capacity  the least burst of the rates in force; 0 without a rate

use_limits()
use_corrections()
if not now then
  now, off, stepped = clock_read(KEYS[1])
end

-- take takes n tokens from a limit.
local function take(name, n)
  local l = limit_load(name, now)
  if not l then
    return {-1}
  end
  local burst = buckets_burst(l.b) or 0
  local granted, wait, waited = 0, -1, false
  if buckets_at(l.b, n) < NEVER then
    local first, before = nil, 0 -- the least turn of those that wait, and how many go first
    for _, index in ipairs(redis.call('SMEMBERS', K.WAITED .. l.name)) do
      waited = true
      local turn = limit_idle(l.name, index)
      if turn and turn < l.turn then
        first = math.min(first or turn, turn)
        before = before + redis.call('ZCOUNT', K.WAITERS .. l.name .. ':' .. index, '-inf', string.format('(%d', l.turn))
      end
    end
    local at, _
    if first then -- not its turn: after one token for each that goes first
      local more = burst > 0 and math.max(0, math.min(before, burst - n)) or 0
      at = math.max(buckets_at(l.b, n + more), now + 1000)
      if #l.b > 0 and before > more then
        at = at + math.floor((before - more) * l.b[1][2] / l.b[1][1])
      end
    else
      local again -- a take holds no place, and what another one asked for is its own now
      at, _, again = limit_at({name = l.name, now = now, b = l.b, cap = 0, running = 0, keep = l.keep}, n, '', l.turn)
      at = at >= NEVER and again or at
    end
    if at <= now then
      granted, wait = 1, 0
      buckets_debit(l.b, now, n)
      l.turn, l.ask = now, nil
    else
      wait = at - now
      if waited then
        l.ask = {cost = n, at = at}
      end
    end
  end
  local left = buckets_left(l.b, now) or 0

  if granted == 1 or waited or stepped > 0 then
    clock_write(KEYS[1], now, off)
  end
  if granted == 1 then
    limit_save(l)
    redis.call('HINCRBY', K.LIMIT .. l.name, 'spent', n)
    limit_place(l, now)
  elseif waited and wait > 0 then
    limit_save(l)
  end
  return {granted, left, wait, now, burst}
end

for i = done + 1, #ARGV, 2 do
  replies[#replies + 1] = take(ARGV[i], tonumber(ARGV[i + 1]))
end
return replies
