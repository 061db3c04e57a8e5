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

-- task_costs looks for that field only, as record_fields reads all: by bytes, while lengths have
-- one digit.
local function task_costs(rec)
  if not rec then
    return nil
  end
  local byte, i = string.byte, 1
  while true do
    local tag, len, colon = byte(rec, i, i + 2)
    local at
    if tag == 10 then
      return nil
    elseif colon == 58 and len >= 48 and len <= 57 then
      len, at = len - 48, i + 3
    else
      len, at = string.match(rec, '^%a(%d+):()', i)
      if not len or at + len > #rec then -- nothing behind it: it is damaged
        return nil
      end
    end
    i = at + len
    if tag == 110 then -- n
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
-- differs from one token of the queue. Of equal costs all but the key is made once. Behind
-- its cost a key has a colon where the task holds a place of its cap, else a semicolon.
local ONE_EACH = {1}

local function charge_text(q, costs, key, place)
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
    text[2] = text[1] .. string.format(' key=%d', task_cost(costs, 'key'))
    made[costs or ONE_EACH] = text
  end
  return key and text[2] .. (place and ':' or ';') .. key or text[1] -- at the end, for it may hold anything
end

-- lease_read returns the parts of a lease: fence, start, turn, claim and queue as text, what
-- it was charged, and the key. Equal charges are one table, which nobody changes:
-- {queue = c, limits = {name = c}, key = c, place = true where it holds one of the key's cap},
-- or ONE_TOKEN, of the queue.
local ONE_TOKEN = {queue = 1, limits = {}}
local charges_known = {[''] = ONE_TOKEN}

local function charge_read(text)
  local charge = {queue = 1, limits = {}, place = false}
  for limit, c in string.gmatch(text, ' ([^=]+)=(%d+)') do
    if limit == 'queue' or limit == 'key' then
      charge[limit] = tonumber(c)
    else
      charge.limits[limit] = tonumber(c)
    end
  end
  charge.place = string.sub(text, -1) == ':' and charge.key > 0
  charges_known[text] = charge
  return charge
end

local function lease_read(text)
  local fence, start, seq, claim, name, rest, key = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (%S+)([^:;]*[:;]?)(.*)$')
  local charge = charges_known[rest] or charge_read(rest)
  return fence, start, seq, claim, name, charge, charge.key and key
end
