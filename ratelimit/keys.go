package ratelimit

import "strings"

// KeyPart is a key of a namespace as scripts name it: K.<Name> is "{namespace}:" and Part.
type KeyPart struct{ Name, Part string }

// KeyParts are the keys that limits stand on. Where a part ends in a colon, the name of a
// limit, an index (pool:handler), an owner or a worker follows.
var KeyParts = []KeyPart{
	{"LIMITS", "l"},                  // zset, scores 0: the names of all limits
	{"LIMIT", "l:"},                  // hash: a limit, as limit.lua has it
	{"NAMED", "lr:"},                 // set: queues that name the limit
	{"WAITED", "lx:"},                // set: indexes in which queues wait at the limit
	{"WAITERS", "lw:"},               // zset, <limit>:<index>: queues that wait at it, by turn
	{"STUCK", "ls:"},                 // set: "index queue" of those whose next task costs more than it can hold
	{"QUEUE", "q:"},                  // hash: settings, bucket, counters
	{"LIMITSOF", "limits:"},          // set: limits that an owner's file declares
	{"EDITS", "edits"},               // list: changes by hand, newest first
	{"DUE", "due:"},                  // zset: queues, and limits as @<limit>, by the next instant worth asking
	{"IDLE", "idle:"},                // zset: workers with free slots and nothing due
	{"APPOINTMENTS", "appointments"}, // hash: index to the instant and worker that comes then
	{"WAKE", "wake:"},                // channel of one worker
}

// LuaKeys returns the Lua line that defines K with the names that src uses; the first key
// of every script is that of the clock. One table, not a local for each: a function that
// uses them has one upvalue of it, and a script makes its functions anew with each call.
func LuaKeys(src string, parts []KeyPart) string {
	var b strings.Builder
	b.WriteString("local PREFIX = string.sub(KEYS[1], 1, -6) -- KEYS[1] is {namespace}:clock\nlocal K = {")
	for _, p := range parts {
		if used(src, "K."+p.Name) {
			b.WriteString(p.Name + " = PREFIX .. '" + p.Part + "', ")
		}
	}
	b.WriteString("}\n")
	return b.String()
}

// used finds a whole word.
func used(src, word string) bool {
	for i := strings.Index(src, word); i >= 0; {
		end := i + len(word)
		if end == len(src) || !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZ", rune(src[end])) {
			return true
		}
		j := strings.Index(src[end:], word)
		if j < 0 {
			return false
		}
		i = end + j
	}
	return false
}
