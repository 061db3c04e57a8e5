// Command echo is the smallest real handler plugin: it returns each task's
// payload. Its config, and for one task its payload, can script it to sleep, to
// log, to fail, to throttle, to tell of limits, to panic, to exit, and to keep a
// journal; so it serves to try out a configuration and to test throttlerd itself. A
// sleep of more than a second tells each second how far it is.
//
// In the config block, and in a payload that is a JSON object:
//
//	sleep       "5s"        before anything else
//	log         "text"      log it
//	fail        "text"      fail with it
//	throttle    "3s"        say that upstream asked to slow down
//	limit       "github"    of this limit instead of the queue's own
//	retry_after "3s"        fail, and ask for the next attempt after that
//	panic       "text"      panic with it
//	exit        3           end the process with this code
//	journal     "/a/path"   append a line at each start and finish
//
// In a payload alone, the first two with any outcome but exit:
//
//	actual   {"openai": 1200}                                     what the run cost
//	report   [{"limit": "github", "remaining": 0, "reset": "3s"}]  what upstream has left
//	reveal   true                                                 return the task itself, as JSON
package main

import "github.com/throttlerd/throttlerd/pluginapi"

func main() { pluginapi.Serve(&echo{}) }
