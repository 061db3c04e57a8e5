package scheduler

import "github.com/throttlerd/throttlerd/ratelimit"

// keys builds the names of one namespace's keys. All carry the hash tag {namespace},
// so that every script is legal on Redis Cluster. A namespace that is ever split into
// partitions has one keys value for each.
type keys struct {
	prefix string // "{namespace}:"
}

func newKeys(namespace string) keys { return keys{"{" + namespace + "}:"} }

// keyParts are the names behind the prefix; where one ends in a colon, the name of a
// queue, an index (pool:handler), a worker or an owner follows. The scripts get them
// as K.<NAME>, so that they are written here, or with the limits, and nowhere else.
var keyParts = append([]ratelimit.KeyPart{
	{Name: "QUEUES", Part: "queues"},        // zset, scores 0: the names of all queues
	{Name: "NUMBERS", Part: "numbers"},      // hash: a queue's number, in its ids, to its name
	{Name: "INDEXES", Part: "indexes"},      // set: every pool:handler that a queue has had
	{Name: "IDS", Part: "ids"},              // hash: own id to internal id
	{Name: "TASKS", Part: "tasks:"},         // hash: internal id to record
	{Name: "WAIT", Part: "wait:"},           // list: waiting tasks, first at the left
	{Name: "FRONT", Part: "front:"},         // zset: tasks given back, by their first turn
	{Name: "LATER", Part: "later:"},         // zset: scheduled tasks by instant
	{Name: "DEAD", Part: "dead:"},           // zset: dead tasks by instant
	{Name: "ENDED", Part: "ended:"},         // list: the history, oldest first
	{Name: "ENDS", Part: "ends:"},           // hash: how the tasks of the history ended
	{Name: "EXPIRE", Part: "expire"},        // zset: queues with expire_after, by when to look at them
	{Name: "WORKERS", Part: "workers"},      // zset: workers by the end of their lease
	{Name: "WORKER", Part: "worker:"},       // hash: what a worker announces; its last claim
	{Name: "PROGRESS", Part: "progress:"},   // hash with TTL: fence to how far the run is, told by its worker
	{Name: "RUN", Part: "run:"},             // hash: internal id to fence, start, turn, claim, queue
	{Name: "STOP", Part: "stop:"},           // set: running tasks that somebody wants cancelled
	{Name: "OWNED", Part: "owned:"},         // set: queues that an owner's file declares
	{Name: "BULK", Part: "bulk:"},           // string with TTL: how many tasks of a bulk are in
	{Name: "LANE", Part: "lane:"},           // list, <queue>:<key>: a key's waiting tasks
	{Name: "LANEFRONT", Part: "lanefront:"}, // zset, <queue>:<key>: those given back, by their first turn
	{Name: "KEYS", Part: "keys:"},           // hash: key to its state, as key.lua has it
	{Name: "KEYREADY", Part: "keyready:"},   // zset: keys with work that may run now, by pass
	{Name: "KEYLATER", Part: "keylater:"},   // zset: keys with work, by the instant from which they may
	{Name: "KEYFULL", Part: "keyfull:"},     // zset: keys with work whose cap is full
	{Name: "KEYSTALE", Part: "keystale:"},   // zset, <queue>:<n>: blocked keys to be looked at again
	{Name: "SWEEP", Part: "sweep"},          // zset: queue:key without work, by when its state says nothing
}, ratelimit.KeyParts...)

// clock is the key that every script names: {offset, last, tick, fence, queues}.
func (k keys) clock() string { return k.prefix + "clock" }

func (k keys) limits() string                     { return k.prefix + "l" }
func (k keys) limitsOf(owner string) string       { return k.prefix + "limits:" + owner }
func (k keys) edits() string                      { return k.prefix + "edits" }
func (k keys) lane(queue, key string) string      { return k.prefix + "lane:" + queue + ":" + key }
func (k keys) laneFront(queue, key string) string { return k.prefix + "lanefront:" + queue + ":" + key }
func (k keys) keyReady(queue string) string       { return k.prefix + "keyready:" + queue }
func (k keys) keyLater(queue string) string       { return k.prefix + "keylater:" + queue }
func (k keys) keyFull(queue string) string        { return k.prefix + "keyfull:" + queue }
func (k keys) queues() string                     { return k.prefix + "queues" }
func (k keys) numbers() string                    { return k.prefix + "numbers" }
func (k keys) indexes() string                    { return k.prefix + "indexes" }
func (k keys) ids() string                        { return k.prefix + "ids" }
func (k keys) wait(queue string) string           { return k.prefix + "wait:" + queue }
func (k keys) front(queue string) string          { return k.prefix + "front:" + queue }
func (k keys) later(queue string) string          { return k.prefix + "later:" + queue }
func (k keys) dead(queue string) string           { return k.prefix + "dead:" + queue }
func (k keys) ended(queue string) string          { return k.prefix + "ended:" + queue }
func (k keys) workers() string                    { return k.prefix + "workers" }
func (k keys) worker(id string) string            { return k.prefix + "worker:" + id }
func (k keys) progress(worker string) string      { return k.prefix + "progress:" + worker }
func (k keys) run(id string) string               { return k.prefix + "run:" + id }
func (k keys) owned(owner string) string          { return k.prefix + "owned:" + owner }
func (k keys) wake(id string) string              { return k.prefix + "wake:" + id }
func (k keys) bulk(name string) string            { return k.prefix + "bulk:" + name }
