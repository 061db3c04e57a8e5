// Package scheduler keeps queues, tasks and workers in Redis. A Client submits,
// inspects and controls; a Session is one worker's side: it claims tasks in the
// moment a limit grants them, settles them under their fence, and keeps the lease.
//
// Everything that decides is a Lua script (lua/*.lua), atomic in Redis, by one clock.
// The package knows no plugin, no HCL and no handler: a handler is a name.
package scheduler
