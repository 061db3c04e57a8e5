-- take_plain.lua: take from a limit of one rate at which no queue waits: what take.lua
-- would do, before all that it needs is made. Put behind bucket.lua, in front of the rest.

local plain = redis.call('HMGET', K.LIMIT .. ARGV[1], 'rate', 'bucket', 'frozen', 'over', 'keep', 'ask', 'spent')
local N, P, B = string.match(plain[1] or '', '^(%d+) (%d+) (%d+)$')
if N and (plain[3] or '0') == '0' and (plain[4] or '') == '' and (plain[5] or '') == '' and (plain[6] or '') == ''
  and redis.call('EXISTS', K.WAITED .. ARGV[1]) == 0 then
  local n = tonumber(ARGV[2])
  N, P, B = tonumber(N), tonumber(P), tonumber(B)
  local F, R = string.match(plain[2] or '', '^(%d+) (%d+)$')
  F, R = tonumber(F) or 0, tonumber(R) or 0
  local now, off, stepped = clock_read(KEYS[1])
  local granted, wait = 0, -1
  if n <= B then
    wait = bucket_at(N, P, B, F, R, n) - now
    if wait <= 0 then
      granted, wait = 1, 0
      F, R = bucket_debit(N, P, F, R, now, n)
    end
  end
  if granted == 1 or stepped > 0 then
    clock_write(KEYS[1], now, off)
  end
  if granted == 1 then
    redis.call('HSET', K.LIMIT .. ARGV[1], 'bucket', string.format('%d %d', F, R),
      'turn', string.format('%d', now), 'spent', string.format('%d', (tonumber(plain[7]) or 0) + n))
  end
  return {granted, bucket_left(N, P, B, F, R, now), wait, now, B}
end
