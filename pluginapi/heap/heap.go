// Package heap keeps the garbage collector of a small program from running all the time.
package heap

import (
	"math"
	"os"
	"runtime/debug"
)

// room is how much garbage a program of ours may gather between two collections, beyond
// what Go would let it.
const room = 16 << 20

// ballast is never touched: it takes addresses, and no memory.
var ballast []byte

// MakeRoom has a collection wait until there is something to collect. Go lets the heap double,
// which for one of 4 MiB and 60,000 tasks a second means 40 collections a second, and a
// seventh of the time of the program. It does nothing where GOGC or a memory limit is set: then
// somebody has decided. Call it once, from main.
//
// The way is that of https://github.com/golang/go/issues/23044: a large object that is
// alive counts for the pace of the collector, and costs it nothing to look at.
func MakeRoom() {
	if os.Getenv("GOGC") == "" && debug.SetMemoryLimit(-1) == math.MaxInt64 {
		ballast = make([]byte, room)
	}
}
