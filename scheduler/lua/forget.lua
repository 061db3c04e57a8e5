-- forget.lua: drop tasks from Redis for good, and free the ids their owners chose.

local function forget_tasks(name, own, ids)
  if own == '1' then
    local recs, names = redis.call('HMGET', K.TASKS .. name, unpack(ids)), {}
    for i = 1, #ids do
      local id = own_id(recs[i])
      if id then
        names[#names + 1] = id
      end
    end
    if #names > 0 then
      redis.call('HDEL', K.IDS, unpack(names))
    end
  end
  redis.call('HDEL', K.TASKS .. name, unpack(ids))
end
