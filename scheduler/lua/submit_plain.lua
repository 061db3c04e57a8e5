-- submit_plain.lua: tasks with nothing but a payload, into a queue that has others waiting
-- and no more than rates and a cap of its own: what submit.lua would do, before all that it
-- needs is made. Put in front of the rest.
--
-- ARGV     "*queue", then the record of each task
--
-- Returns {2, now, ahead, number of the first id, number of the queue, held, rate, bucket,
-- frozen, running, cap}, without lists in it, which cost more than all that is in them; or
-- leaves the same tasks to submit.lua, in its form.

local ARGV = ARGV
local name = string.match(ARGV[1], '^%*(.*)$')
local v = name and redis.call('HMGET', K.QUEUE .. name, 'rate', 'bucket', 'frozen', 'held', 'waiting', 'running', 'later',
  'big', 'cap', 'exempt', 'over', 'limits', 'key', 'no', 'last_id', 'max_length')
-- it stands where it belongs, and nothing that is scheduled goes first
if v and (tonumber(v[5]) or 0) > 0 and v[7] == '0' and (v[11] or '') == '' and v[12] == '' and v[13] == '' and v[16] == '0'
  and string.find(v[1] or 'none', '^[%d ,]*$') then
  local now, off = clock_read(KEYS[1])
  local no, last, big, ahead, grown = tonumber(v[14]), tonumber(v[15]), tonumber(v[8]), tonumber(v[5]), false
  if last < now then
    last = now - 1
  end
  local bodies, ids, first, form = {}, {}, last + 1, string.format('%%013x-%x', no)
  for i = 2, #ARGV do
    last = last + 1
    local id, rec, n = string.format(form, last), ARGV[i], i - 1
    ids[n], bodies[2 * n - 1], bodies[2 * n] = id, id, rec
    if #rec > big then
      big, grown = #rec, true
    end
  end
  redis.call('HSET', K.TASKS .. name, unpack(bodies))
  redis.call('RPUSH', K.WAIT .. name, unpack(ids))
  redis.call('HSET', K.QUEUE .. name, 'waiting', ahead + #ids, 'last_id', string.format('%d', last), 'used', string.format('%d', now))
  if grown then
    redis.call('HSET', K.QUEUE .. name, 'big', big)
  end
  clock_write(KEYS[1], now, off)
  return {2, now, ahead, first, no, v[4] or '', v[1], v[2] or '', v[3], tonumber(v[6]) - tonumber(v[10]), tonumber(v[9])}
end

if name then
  local long = {name}
  for i = 2, #ARGV do
    long[3 * i - 4], long[3 * i - 3], long[3 * i - 2] = '', '', ARGV[i]
  end
  ARGV = long
end
