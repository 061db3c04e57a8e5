-- drop.lua: forget dead tasks.
--
-- KEYS[1]  {ns}:clock
-- ARGV     queue, internal ids
--
-- Returns how many were dead and are gone; the others are left alone.

local name = ARGV[1]
local own = redis.call('HGET', K.QUEUE .. name, 'own')
local gone = {}
for i = 2, #ARGV do
  if redis.call('ZREM', K.DEAD .. name, ARGV[i]) == 1 then
    gone[#gone + 1] = ARGV[i]
  end
end
if #gone > 0 then
  forget_tasks(name, own, gone)
  redis.call('HINCRBY', K.QUEUE .. name, 'dead', -#gone)
end
return #gone
