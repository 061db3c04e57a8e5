-- clock.lua: engine time, the one clock of a namespace. Put in front of a script.
--
-- Engine time is Redis TIME in whole µs plus an offset that grows whenever TIME is
-- found behind the last engine time stored, by just as much: so it never runs
-- backwards over what is stored, and goes on from there at once, where waiting for TIME
-- to catch up would stand still. A step forward is kept.
--
-- The key is the hash {ns}:clock, fields off (µs), last (the last engine time stored)
-- and, where tasks are leased, fence (the next one to be given). A script reads the clock
-- once, for TIME moves while a script runs, and stores it with every write that decides by
-- it, and whenever it stepped: a step that is not stored is found again by the next script,
-- at the same instant.

-- clock_read returns engine time and the offset, both to be stored by clock_write,
-- how far TIME was found to have stepped back (µs, 0 mostly), and the fence stored. It
-- writes nothing.
local clock_started -- TIME when clock_read was called

local function clock_read(key)
  local h = redis.call('HMGET', key, 'off', 'last', 'fence')
  local time = redis.call('TIME')
  local off = tonumber(h[1] or 0)
  local last, fence = tonumber(h[2] or 0), tonumber(h[3] or 0)
  clock_started = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local now = clock_started + off
  if now < last then
    return last, off + (last - now), last - now, fence
  end
  return now, off, 0, fence
end

-- clock_write stores what clock_read returned, and a fence where one is given.
local function clock_write(key, now, off, fence)
  if fence then
    redis.call('HSET', key, 'off', string.format('%d', off), 'last', string.format('%d', now), 'fence', fence)
  else
    redis.call('HSET', key, 'off', string.format('%d', off), 'last', string.format('%d', now))
  end
end

-- clock_passed is for how long the script has run since clock_read, in µs: for who counts
-- from the reply. No decision stands on it.
local function clock_passed()
  local time = redis.call('TIME')
  return math.max(0, math.min(tonumber(time[1]) * 1000000 + tonumber(time[2]) - clock_started, 10000))
end
