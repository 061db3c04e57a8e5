package scheduler

import "strings"

// keys builds the names of one namespace's keys. All carry the hash tag {namespace},
// so that every script is legal on Redis Cluster. A namespace that is ever split into
// partitions has one keys value for each.
type keys struct {
	prefix string // "{namespace}:"
}

func newKeys(namespace string) keys { return keys{"{" + namespace + "}:"} }

// keyParts are the names behind the prefix; where one ends in a colon, the name of a
// queue, an index (pool:handler), a worker or an owner follows. The scripts get them
// as K_<NAME>, so that they are written here and nowhere else.
var keyParts = []struct{ name, part string }{
	{"QUEUES", "queues"},             // zset, scores 0: the names of all queues
	{"NUMBERS", "numbers"},           // hash: a queue's number, in its ids, to its name
	{"INDEXES", "indexes"},           // set: every pool:handler that a queue has had
	{"IDS", "ids"},                   // hash: own id to internal id
	{"QUEUE", "q:"},                  // hash: settings, bucket, counters
	{"TASKS", "tasks:"},              // hash: internal id to record
	{"WAIT", "wait:"},                // list: waiting tasks, first at the left
	{"FRONT", "front:"},              // zset: tasks given back, by their first turn
	{"LATER", "later:"},              // zset: scheduled tasks by instant
	{"DEAD", "dead:"},                // zset: dead tasks by instant
	{"ENDED", "ended:"},              // list: the history, oldest first
	{"ENDS", "ends:"},                // hash: how the tasks of the history ended
	{"EXPIRE", "expire"},             // zset: queues with expire_after, by when to look at them
	{"DUE", "due:"},                  // zset: queues by the next instant worth asking
	{"IDLE", "idle:"},                // zset: workers with free slots and nothing due
	{"APPOINTMENTS", "appointments"}, // hash: index to the instant and worker that comes then
	{"WORKERS", "workers"},           // zset: workers by the end of their lease
	{"WORKER", "worker:"},            // hash: what a worker announces; its last claim
	{"RUN", "run:"},                  // hash: internal id to fence, start, turn, claim, queue
	{"STOP", "stop:"},                // set: running tasks that somebody wants cancelled
	{"OWNED", "owned:"},              // set: queues that an owner's file declares
	{"WAKE", "wake:"},                // channel of one worker
	{"BULK", "bulk:"},                // string with TTL: how many tasks of a bulk are in
}

// clock is the key that every script names: {offset, last, tick, fence, queues}.
func (k keys) clock() string { return k.prefix + "clock" }

func (k keys) queues() string            { return k.prefix + "queues" }
func (k keys) numbers() string           { return k.prefix + "numbers" }
func (k keys) indexes() string           { return k.prefix + "indexes" }
func (k keys) ids() string               { return k.prefix + "ids" }
func (k keys) wait(queue string) string  { return k.prefix + "wait:" + queue }
func (k keys) front(queue string) string { return k.prefix + "front:" + queue }
func (k keys) later(queue string) string { return k.prefix + "later:" + queue }
func (k keys) dead(queue string) string  { return k.prefix + "dead:" + queue }
func (k keys) ended(queue string) string { return k.prefix + "ended:" + queue }
func (k keys) workers() string           { return k.prefix + "workers" }
func (k keys) worker(id string) string   { return k.prefix + "worker:" + id }
func (k keys) run(id string) string      { return k.prefix + "run:" + id }
func (k keys) owned(owner string) string { return k.prefix + "owned:" + owner }
func (k keys) wake(id string) string     { return k.prefix + "wake:" + id }
func (k keys) bulk(name string) string   { return k.prefix + "bulk:" + name }

// luaKeys returns the Lua lines that define the K_ names which src uses.
func luaKeys(src string) string {
	var b strings.Builder
	b.WriteString("local PREFIX = string.sub(KEYS[1], 1, -6) -- KEYS[1] is {namespace}:clock\n")
	for _, p := range keyParts {
		if strings.Contains(src, "K_"+p.name+" ") || strings.Contains(src, "K_"+p.name+",") ||
			strings.Contains(src, "K_"+p.name+")") {
			b.WriteString("local K_" + p.name + " = PREFIX .. '" + p.part + "'\n")
		}
	}
	return b.String()
}
