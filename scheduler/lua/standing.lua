-- standing.lua: how the limits of a queue stand, for receipts and for people.

-- standing returns {held, then for each limit: {name ("queue", or that of a named one),
-- lasting rates, buckets, override, frozen, running, cap, what is kept or asked for}}.
local function standing(q, now)
  local out = {q.held or ''}
  local function add(name, b, running, cap, kept)
    local over = b.till and string.format('%d %s', b.till, b.rate) or ''
    out[#out + 1] = {name, b.base or b.rate, buckets_text(b), over, string.format('%d', b.frozen), running, cap, kept}
  end
  add('queue', q.b, q.running - q.exempt, q.cap, 0)
  for _, name in ipairs(q.limits or {}) do
    local l = limit_load(name, now)
    if l then
      add(name, l.b, l.running, l.cap, (l.keep and keep_holds(l.keep) and l.keep.costs[name] or 0) + (l.ask and l.ask.cost or 0))
    end
  end
  return out
end

-- standing_key adds that of a key.
local function standing_key(q, out, key, now)
  local k = keys_load(q, {key}, now)[1]
  out[#out + 1] = {'key', k.b.rate, buckets_text(k.b), '', string.format('%d', k.b.frozen), k.running, k.cap, 0}
end
