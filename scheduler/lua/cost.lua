-- cost.lua: what a task costs of each limit, as its record has it (field n): "c" of all,
-- then " name=c" for those that differ. Put behind record.lua.

-- Equal texts are read once in a script: whoever gets the table changes nothing in it.
local costs_known = {}

local function costs_of(text)
  local costs = costs_known[text]
  if not costs then
    costs = {tonumber(string.match(text, '^%d+'))}
    for name, c in string.gmatch(text, ' ([^=]+)=(%d+)') do
      costs[name] = tonumber(c)
    end
    costs_known[text] = costs
  end
  return costs
end

-- costs_read returns {c, name = c ...} of a record's fields, or nil when each is 1.
local function costs_read(fields)
  return fields.n and costs_of(fields.n)
end

-- task_costs looks for that field only, as record_fields reads all.
local function task_costs(rec)
  if not rec or string.byte(rec, 1) == 10 then
    return nil
  end
  local match, i = string.match, 1
  while true do
    local tag, len, at = match(rec, '^(%a)(%d+):()', i)
    if not tag then
      return nil
    end
    i = at + len
    if tag == 'n' then
      return costs_of(string.sub(rec, at, i - 1))
    end
  end
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
-- differs from one token of the queue. Of equal costs all but the key is made once.
local ONE_EACH = {1}

local function charge_text(q, costs, key)
  local made = q.texts
  if not made then
    made = {}
    q.texts = made
  end
  local text = made[costs or ONE_EACH]
  if not text then
    text = {''}
    local own = task_cost(costs, 'queue')
    if own ~= 1 then
      text[1] = string.format(' queue=%d', own)
    end
    for _, name in ipairs(q.limits or {}) do
      local c = task_cost(costs, name)
      if c > 0 then
        text[1] = text[1] .. string.format(' %s=%d', name, c)
      end
    end
    text[2] = text[1] .. string.format(' key=%d:', task_cost(costs, 'key'))
    made[costs or ONE_EACH] = text
  end
  return key and text[2] .. key or text[1] -- at the end, for it may hold anything
end

-- lease_read returns the parts of a lease: fence, start, turn, claim and queue as text,
-- and what it was charged: {queue = c, limits = {name = c}, key = text, key_cost = c},
-- or ONE_TOKEN, of the queue. Leases of equal charges have one table of limits, which
-- nobody changes.
local ONE_TOKEN = {queue = 1, limits = {}}
local charges_known = {[''] = ONE_TOKEN}

-- charge_read is that of a lease without its key.
local function charge_read(text)
  local charge = {queue = 1, limits = {}}
  for limit, c in string.gmatch(text, ' ([^=]+)=(%d+)') do
    if limit == 'queue' then
      charge.queue = tonumber(c)
    else
      charge.limits[limit] = tonumber(c)
    end
  end
  charges_known[text] = charge
  return charge
end

local function lease_read(text)
  local fence, start, seq, claim, name, rest = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%S+)(.*)$')
  local charge = charges_known[rest]
  if not charge then
    local head, c, key = string.match(rest, '^(.-) key=(%d+):(.*)$')
    charge = charges_known[head or rest] or charge_read(head or rest)
    if key then
      charge = {queue = charge.queue, limits = charge.limits, key = key, key_cost = tonumber(c)}
    end
  end
  return fence, start, seq, claim, name, charge
end
