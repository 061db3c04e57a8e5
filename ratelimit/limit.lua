-- limit.lua: a limit's record, the hash {ns}:l:<name>. Put in front of a script,
-- after bucket.lua.
--
--   rate  "N P B": the rate in force, P in µs
--   F, R  the bucket, as bucket.lua has it; absent while it was never used

-- limit_read returns N, P, B, F, R; nil for a limit that does not exist.
local function limit_read(key)
  local h = redis.call('HMGET', key, 'rate', 'F', 'R')
  if not h[1] then
    return nil
  end
  local N, P, B = string.match(h[1], '^(%d+) (%d+) (%d+)$')
  return tonumber(N), tonumber(P), tonumber(B), tonumber(h[2] or 0), tonumber(h[3] or 0)
end

-- limit_write stores the bucket.
local function limit_write(key, F, R)
  redis.call('HSET', key, 'F', string.format('%.0f', F), 'R', string.format('%.0f', R))
end
