-- peek.lua: read a limit. Writes nothing.
--
-- KEYS[1]  {ns}:l:<name>   KEYS[2]  {ns}:clock
--
-- Returns {-1} when there is no such limit, else {N, P, B, F, R, now}: its rate (P in
-- µs), its bucket as bucket.lua has it, and engine time.

local N, P, B, F, R = limit_read(KEYS[1])
if not N then
  return {-1}
end
local now = clock_read(KEYS[2])
return {N, P, B, F, R, now}
