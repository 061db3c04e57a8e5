package ratelimit

import "regexp"

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

var keyName = regexp.MustCompile(`\bK\.[A-Z]+\b`)

// LuaKeys returns a script with its keys in place of their names, K.<Name>; the first key of
// every script is that of the clock. A table of them would be made anew with each call, and a
// key joined with what follows in two steps.
func LuaKeys(src string, parts []KeyPart) string {
	texts := make(map[string]string, len(parts))
	for _, p := range parts {
		texts["K."+p.Name] = "PREFIX .. '" + p.Part + "'"
	}
	return "local PREFIX = string.sub(KEYS[1], 1, -6) -- KEYS[1] is {namespace}:clock\n" +
		keyName.ReplaceAllStringFunc(src, func(name string) string {
			text, ok := texts[name]
			if !ok {
				panic("no key is named " + name) // embedded: cannot be missing in a program that was tested
			}
			return text
		})
}
