-- record.lua: a task's record, as it stands in the tasks hash of its queue:
-- fields of one letter, a length, a colon and a value, then a newline and the
-- payload. A fresh task without options has no fields. Go reads and writes the
-- same format in record.go, which names the fields.

-- record_fields returns the fields and the position of the payload. A length beyond the
-- record, which only a damaged one has, ends there.
local function record_fields(rec)
  local f, i = {}, 1
  while true do
    local tag, len, at = string.match(rec, '^(%a)(%d+):()', i)
    if not tag then
      break
    end
    i = math.min(at + (tonumber(len) or math.huge), #rec + 1)
    f[tag] = string.sub(rec, at, i - 1)
  end
  return f, i + 1
end

-- record_with returns the record with some fields set; '' drops one.
local function record_with(rec, set)
  local f, body = record_fields(rec)
  for tag, v in pairs(set) do
    f[tag] = v
  end
  local tags, out = {}, {}
  for tag in pairs(f) do
    tags[#tags + 1] = tag
  end
  table.sort(tags)
  for _, tag in ipairs(tags) do
    local v = tostring(f[tag])
    if v ~= '' then
      out[#out + 1] = tag .. #v .. ':' .. v
    end
  end
  return table.concat(out) .. '\n' .. string.sub(rec, body)
end

-- own_id returns the id that the submitter chose, or nil.
local function own_id(rec)
  if not rec or string.byte(rec, 1) == 10 then
    return nil
  end
  return (record_fields(rec)).i
end
