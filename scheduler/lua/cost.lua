-- cost.lua: what a task costs of each limit, as its record has it (field n): "c" of all,
-- then " name=c" for those that differ. Put behind record.lua.

-- costs_read returns {c, name = c ...} of a record's fields, or nil when each is 1.
local function costs_read(fields)
  local text = fields.n
  if not text then
    return nil
  end
  local costs = {tonumber(string.match(text, '^%d+'))}
  for name, c in string.gmatch(text, ' ([^=]+)=(%d+)') do
    costs[name] = tonumber(c)
  end
  return costs
end

local function task_costs(rec)
  if not rec or string.byte(rec, 1) == 10 then
    return nil
  end
  return costs_read((record_fields(rec)))
end

-- task_cost is what it costs of one limit; "queue" and "key" are the queue's own and the
-- key's.
local function task_cost(costs, name)
  if not costs then
    return 1
  end
  return costs[name] or costs[1]
end

-- charge_text is what a lease says of its costs, behind the queue's name: only what
-- differs from one token of the queue.
local function charge_text(q, costs, key)
  local out = ''
  local own = task_cost(costs, 'queue')
  if own ~= 1 then
    out = string.format(' queue=%d', own)
  end
  for _, name in ipairs(q.limits or {}) do
    local c = task_cost(costs, name)
    if c > 0 then
      out = out .. string.format(' %s=%d', name, c)
    end
  end
  if key then -- at the end, for it may hold anything
    out = out .. string.format(' key=%d:%s', task_cost(costs, 'key'), key)
  end
  return out
end

-- lease_read returns the parts of a lease: fence, start, turn, claim and queue as text,
-- and what it was charged: {queue = c, limits = {name = c}, key = text, key_cost = c},
-- or ONE_TOKEN, of the queue.
local ONE_TOKEN = {queue = 1, limits = {}}

local function lease_read(text)
  local fence, start, seq, claim, name = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%S+)$')
  local charge = ONE_TOKEN
  if not fence then
    local rest
    fence, start, seq, claim, name, rest = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%S+)(.*)$')
    charge = {queue = 1, limits = {}}
    local at = string.find(rest, ' key=', 1, true)
    if at then
      local c, key = string.match(rest, '^ key=(%d+):(.*)$', at)
      charge.key, charge.key_cost = key, tonumber(c)
      rest = string.sub(rest, 1, at - 1)
    end
    for limit, c in string.gmatch(rest, ' ([^=]+)=(%d+)') do
      if limit == 'queue' then
        charge.queue = tonumber(c)
      else
        charge.limits[limit] = tonumber(c)
      end
    end
  end
  return fence, start, seq, claim, name, charge
end
