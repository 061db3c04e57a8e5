-- bucket.lua: one token bucket, in exact integers. Put in front of a script.
--
-- A rate is N tokens each P microseconds, with a capacity of B. A bucket is the
-- instant at which it is full again (the GCRA form of a token bucket): F whole
-- microseconds and R N-ths of one, 0 <= R < N. F = 0 is a bucket never used: full.
-- Its level at t is B - (F + R/N - t) * N/P, at most B; it may lie before t = now
-- when tokens were taken ahead.
--
-- Every number stays an exact integer below 2^53 because N*B < 2^53, c <= B and
-- c*P is never formed: c*(P div N) and c*(P mod N) are. The quotient of two such
-- integers, rounded to a double, never reaches the next integer, so floor is exact.

-- bucket_span returns what c tokens are worth in time: whole µs and N-ths.
local function bucket_span(N, P, c)
  local r = P % N
  local d = (P - r) / N
  local x = c * r
  local m = x % N
  return c * d + (x - m) / N, m
end

-- bucket_at returns the earliest µs at which the bucket holds c tokens (c <= B);
-- it may lie in the past.
local function bucket_at(N, P, B, F, R, c)
  local us, r = bucket_span(N, P, B - c)
  if R > r then
    return F - us + 1
  end
  return F - us
end

-- bucket_debit takes c tokens at t, which the caller has found to be there.
local function bucket_debit(N, P, F, R, t, c)
  if F < t then
    F, R = t, 0
  end
  local us, r = bucket_span(N, P, c)
  R = R + r
  if R >= N then
    return F + us + 1, R - N
  end
  return F + us, R
end

-- bucket_left returns the whole tokens at t; negative when more than that was
-- taken ahead (counted up to 9e15/N µs ahead, at least 9 s).
local function bucket_left(N, P, B, F, R, t)
  if F < t then
    return B
  end
  local d = F - t
  local us, r = bucket_span(N, P, B)
  if us < d or (us == d and r < R) then
    -- More is missing than the bucket holds. Spans are exact up to B tokens only, so
    -- the rest is counted on its own, with d*N below 2^53.
    d, R, B = d - us, R - r, 0
    if R < 0 then
      d, R = d - 1, R + N
    end
    local far = math.floor(9e15 / N)
    if d > far then
      d, R = far, 0
    end
  end
  -- the tokens missing: the least m with m*P/N >= d + R/N; estimated, then exact
  local m = math.floor(d / P * N + R / P)
  us, r = bucket_span(N, P, m)
  while us > d or (us == d and r >= R) do
    m = m - 1
    if m < 0 then
      break
    end
    us, r = bucket_span(N, P, m)
  end
  repeat
    m = m + 1
    us, r = bucket_span(N, P, m)
  until us > d or (us == d and r >= R)
  return B - m
end

-- bucket_change carries a bucket from one rate to another at t: it accrues at the
-- old one up to t and keeps its whole tokens, at most the new capacity. Tokens
-- taken ahead are let pass first. Returns F, R and the instant of the change,
-- before which the bucket holds nothing if that is later than t.
local function bucket_change(N, P, B, F, R, t, N2, P2, B2)
  local left = 0
  local at = bucket_at(N, P, B, F, R, 0)
  if at <= t then
    at = t
    left = math.min(bucket_left(N, P, B, F, R, t), B2)
  end
  local us, r = bucket_span(N2, P2, B2 - left)
  return at + us, r, at
end
