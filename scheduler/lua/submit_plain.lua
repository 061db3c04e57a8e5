-- submit_plain.lua: tasks with nothing but a payload, into a queue that has others waiting
-- and no more than rates and a cap of its own: what submit.lua would do, before all that it
-- needs is made. Put in front of the rest.

local plain = true
for i = 2, #ARGV, 3 do
  if ARGV[i] ~= '' or ARGV[i + 1] ~= '' or string.byte(ARGV[i + 2], 1) ~= 10 then
    plain = false
    break
  end
end
local v = plain and redis.call('HMGET', K.QUEUE .. ARGV[1], 'rate', 'bucket', 'frozen', 'held', 'waiting', 'running', 'later',
  'big', 'cap', 'exempt', 'over', 'limits', 'key', 'no', 'last_id', 'max_length')
-- it stands where it belongs, and nothing that is scheduled goes first
if v and (tonumber(v[5]) or 0) > 0 and v[7] == '0' and (v[11] or '') == '' and v[12] == '' and v[13] == '' and v[16] == '0'
  and string.find(v[1] or 'none', '^[%d ,]*$') then
  local now, off = clock_read(KEYS[1])
  local no, last, big, ahead = tonumber(v[14]), tonumber(v[15]), tonumber(v[8]), tonumber(v[5])
  if last < now then
    last = now - 1
  end
  local bodies, ids, reply = {}, {}, {}
  for i = 4, #ARGV, 3 do
    last = last + 1
    local id, n = string.format('%013x-%x', last, no), #ids + 1
    ids[n] = id
    bodies[2 * n - 1], bodies[2 * n] = id, ARGV[i]
    reply[2 * n - 1], reply[2 * n] = id, 0
    if #ARGV[i] > big then
      big = #ARGV[i]
    end
  end
  redis.call('HSET', K.TASKS .. ARGV[1], unpack(bodies))
  redis.call('RPUSH', K.WAIT .. ARGV[1], unpack(ids))
  redis.call('HSET', K.QUEUE .. ARGV[1], 'waiting', ahead + #ids, 'last_id', string.format('%d', last), 'big', big,
    'used', string.format('%d', now))
  clock_write(KEYS[1], now, off)
  return {1, now, ahead, {v[4] or '', {'queue', v[1], v[2] or '', '', v[3], tonumber(v[6]) - tonumber(v[10]), tonumber(v[9]), 0}}, reply, {}}
end
