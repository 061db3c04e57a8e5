-- buckets.lua: the buckets of one limit: one for each of its rates, and its freeze.
-- Put in front of a script, after bucket.lua. Buckets in buckets.go is its model.
--
-- As stored: rates "N P B" with commas between ('' none), buckets "F R" likewise, in
-- their order ('' or absent: full); an override "until rates", whose rates hold, with
-- the buckets kept under them, until that instant, and the others from it on.
--
-- In a script it is a list of {N, P, B, F, R}, with the fields
--   rate    text of the rates in force
--   base    text of those that come back at till; nil without an override
--   till    that instant
--   frozen  nothing before this instant
--   damaged the rates cannot be read: nothing at all

local NEVER = 9007199254740992

local rates_known = {} -- equal texts are parsed once in a script

local function rates_read(text)
  text = text or ''
  local known = rates_known[text]
  if not known then
    known = {}
    for n, p, c in string.gmatch(text, '(%d+) (%d+) (%d+)') do
      known[#known + 1] = {tonumber(n), tonumber(p), tonumber(c)}
    end
    local _, commas = string.gsub(text, ',', '')
    known.damaged = text ~= '' and #known ~= commas + 1
    rates_known[text] = known
  end
  local r = known[1]
  local b = {r and {r[1], r[2], r[3], 0, 0}, rate = text, frozen = 0, damaged = known.damaged}
  for i = 2, #known do
    r = known[i]
    b[i] = {r[1], r[2], r[3], 0, 0}
  end
  return b
end

-- buckets_change carries the buckets over to other rates at the instant t: equal rates
-- keep their buckets, the others are paired in order, one without a partner begins full.
-- It returns the buckets, and the instant from which the new rates hold: later than t
-- where tokens had been taken ahead.
local function buckets_change(b, text, t)
  local new, at, kept = rates_read(text), t, {}
  new.frozen = b.frozen
  for i = 1, #new do
    for j = 1, #b do
      if not kept[j] and b[j][1] == new[i][1] and b[j][2] == new[i][2] and b[j][3] == new[i][3] then
        new[i], kept[j] = b[j], true
        new[i].same = true
        break
      end
    end
  end
  local j = 1
  for i = 1, #new do
    local n = new[i]
    if n.same then
      n.same = nil
    else
      while j <= #b and kept[j] do
        j = j + 1
      end
      if b[j] then
        local o, from = b[j], nil
        n[4], n[5], from = bucket_change(o[1], o[2], o[3], o[4], o[5], t, n[1], n[2], n[3])
        if from > at then
          at = from
        end
        j = j + 1
      end
    end
  end
  return new, at
end

-- buckets_read brings what is stored to now: an override that has ended is carried over
-- at its end, and the result has the field reverted.
local function buckets_read(rate, bucket, over, frozen, now)
  local b
  if over and over ~= '' then
    local till, text = string.match(over, '^(%d+) ?(.*)$')
    b = rates_read(text)
    b.till, b.base = tonumber(till), rate or ''
  else
    b = rates_read(rate)
  end
  if bucket and #b == 1 then
    local f, r = string.match(bucket, '(%d+) (%d+)')
    if f then
      b[1][4], b[1][5] = tonumber(f), tonumber(r)
    end
  elseif bucket and #b > 0 then
    local i = 0
    for f, r in string.gmatch(bucket, '(%d+) (%d+)') do
      i = i + 1
      if b[i] then
        b[i][4], b[i][5] = tonumber(f), tonumber(r)
      end
    end
  end
  b.frozen = tonumber(frozen) or 0
  if b.till and now >= b.till then
    b = buckets_change(b, b.base, b.till)
    b.reverted = true
  end
  return b
end

-- buckets_text is how the buckets are stored.
local function buckets_text(b)
  if #b == 1 then
    return b[1][4] > 0 and string.format('%d %d', b[1][4], b[1][5]) or ''
  end
  local out, used = {}, false
  for i = 1, #b do
    used = used or b[i][4] > 0
    out[i] = string.format('%d %d', b[i][4], b[i][5])
  end
  return used and table.concat(out, ',') or ''
end

-- buckets_copy is their levels and freeze, on their own.
local function buckets_copy(b)
  local r = b[1]
  local copy = {r and {r[1], r[2], r[3], r[4], r[5]}, rate = b.rate, frozen = b.frozen, damaged = b.damaged}
  for i = 2, #b do
    r = b[i]
    copy[i] = {r[1], r[2], r[3], r[4], r[5]}
  end
  return copy
end

-- buckets_burst returns the least burst, the most that one task may cost; nil without a
-- rate.
local function buckets_burst(b)
  local least
  for i = 1, #b do
    if not least or b[i][3] < least then
      least = b[i][3]
    end
  end
  return least
end

-- buckets_possible is the instant from which c tokens are within the bursts in force: 0, the
-- end of an override, or NEVER.
local function buckets_possible(b, c)
  local burst = buckets_burst(b)
  if b.damaged then
    return NEVER
  elseif not burst or c <= burst then
    return 0
  end
  return b.till or NEVER
end

-- buckets_at returns the earliest instant at which all buckets hold c tokens and the
-- freeze is over; it may lie in the past. NEVER when a burst is below c for good, or the
-- rates cannot be read.
local function buckets_at(b, c)
  if b.damaged then
    return NEVER
  end
  local at = b.frozen
  for i = 1, #b do
    local r = b[i]
    local t = c <= r[3] and bucket_at(r[1], r[2], r[3], r[4], r[5], c) or NEVER
    if t > at then
      at = t
    end
  end
  if b.till and at >= b.till then -- through the end of the override
    local after = buckets_change(buckets_copy(b), b.base, b.till)
    at = buckets_at(after, c)
    if at < b.till then
      at = b.till
    end
  end
  return at
end

-- buckets_debit takes c tokens at t, where they are there; t lies before the end of an
-- override.
local function buckets_debit(b, t, c)
  for i = 1, #b do
    local r = b[i]
    r[4], r[5] = bucket_debit(r[1], r[2], r[4], r[5], t, c)
  end
end

-- buckets_pace is how long c tokens take to come again; 0 without a rate.
local function buckets_pace(b, c)
  local longest = 0
  for i = 1, #b do
    local us = bucket_span(b[i][1], b[i][2], math.min(c, b[i][3]))
    if us > longest then
      longest = us
    end
  end
  return longest
end

-- buckets_left returns the whole tokens at t, the least of all; nil without a rate.
local function buckets_left(b, t)
  local left
  for i = 1, #b do
    local r = b[i]
    local n = bucket_left(r[1], r[2], r[3], r[4], r[5], t)
    if not left or n < left then
      left = n
    end
  end
  return left
end

-- buckets_full tells whether a bucket would stop to accrue at t: it holds all it can.
local function buckets_full(b, t)
  for i = 1, #b do
    if b[i][4] < t then
      return true
    end
  end
  return false
end

-- Needed by few calls, so made only for them: a script makes its functions anew each time.
local buckets_credit, buckets_owe, buckets_lower, buckets_whole

local function use_corrections()
  if buckets_credit then
    return
  end

  -- buckets_credit gives c tokens back that were not used, up to the capacity.
  function buckets_credit(b, c, now)
    for i = 1, #b do
      local r = b[i]
      if r[4] >= now then
        local us, rem = bucket_span(r[1], r[2], math.min(c, r[3]))
        r[4], r[5] = r[4] - us, r[5] - rem
        if r[5] < 0 then
          r[4], r[5] = r[4] - 1, r[5] + r[1]
        end
        if r[4] < now then
          r[4], r[5] = now, 0
        end
      end
    end
  end

  -- buckets_owe takes c tokens that were used beyond what was granted, down to -debt, or to
  -- -burst where that is less.
  -- It returns how many were cut off there, the most of all buckets.
  function buckets_owe(b, c, debt, now)
    local cut = 0
    for i = 1, #b do
      local r = b[i]
      local take = math.min(c, math.max(0, bucket_left(r[1], r[2], r[3], r[4], r[5], now) + math.min(debt, r[3])))
      cut = math.max(cut, c - take)
      while take > 0 do -- a span is exact up to the burst
        local part = math.min(take, r[3])
        r[4], r[5] = bucket_debit(r[1], r[2], r[4], r[5], now, part)
        take = take - part
      end
    end
    return cut
  end

  -- buckets_lower leaves no more than n tokens in any bucket.
  function buckets_lower(b, n, now)
    for i = 1, #b do
      local r = b[i]
      if bucket_left(r[1], r[2], r[3], r[4], r[5], now) > n then
        local us, rem = bucket_span(r[1], r[2], r[3] - n)
        r[4], r[5] = now + us, rem
      end
    end
  end

  -- buckets_whole is the instant from which on nothing of the state is left to know.
  function buckets_whole(b)
    local at = math.max(b.frozen, b.till or 0)
    for i = 1, #b do
      local f = b[i][4] + (b[i][5] > 0 and 1 or 0)
      if f > at then
        at = f
      end
    end
    return at
  end
end

