-- take_plain.lua: takes from limits of one rate at which no queue waits, one after the
-- other: what take.lua would do, before all that it needs is made. Put behind bucket.lua,
-- in front of the rest. The first that is not so, and those behind it, are left to take.lua.

local replies, done, plain, now, off, stepped = {}, 0, {}, nil, nil, nil
local wrote = false
while done < #ARGV do
  local name, n = ARGV[done + 1], tonumber(ARGV[done + 2])
  local p = plain[name]
  if p == nil then -- read once
    local v = redis.call('HMGET', K.LIMIT .. name, 'rate', 'bucket', 'frozen', 'over', 'keep', 'ask', 'spent')
    local N, P, B = string.match(v[1] or '', '^(%d+) (%d+) (%d+)$')
    p = N and (v[3] or '0') == '0' and (v[4] or '') == '' and (v[5] or '') == '' and (v[6] or '') == ''
      and redis.call('EXISTS', K.WAITED .. name) == 0 and {tonumber(N), tonumber(P), tonumber(B), 0, 0, tonumber(v[7]) or 0}
    if p then
      local F, R = string.match(v[2] or '', '^(%d+) (%d+)$')
      p[4], p[5] = tonumber(F) or 0, tonumber(R) or 0
    end
    plain[name] = p
  end
  if not p then
    break
  end
  if not now then
    now, off, stepped = clock_read(KEYS[1])
  end
  local granted, wait = 0, -1
  if n <= p[3] then
    wait = bucket_at(p[1], p[2], p[3], p[4], p[5], n) - now
    if wait <= 0 then
      granted, wait = 1, 0
      p[4], p[5] = bucket_debit(p[1], p[2], p[4], p[5], now, n)
      p[6], p.took, wrote = p[6] + n, true, true
    end
  end
  replies[#replies + 1] = {granted, bucket_left(p[1], p[2], p[3], p[4], p[5], now), wait, now, p[3]}
  done = done + 2
end
if wrote or (stepped or 0) > 0 then
  clock_write(KEYS[1], now, off)
end
for name, p in pairs(plain) do
  if p and p.took then
    redis.call('HSET', K.LIMIT .. name, 'bucket', string.format('%d %d', p[4], p[5]),
      'turn', string.format('%d', now), 'spent', string.format('%d', p[6]))
  end
end
if done >= #ARGV then
  return replies
end
