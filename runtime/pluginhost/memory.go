package pluginhost

import (
	"fmt"
	"time"
)

// memoryInterval is how often a plugin's memory is looked at where the kernel does not
// keep its bound.
const memoryInterval = 500 * time.Millisecond

// Memory returns how many bytes of memory the process has now; 0 when that is not
// known, or it has ended.
func (p *Process) Memory() int64 { return residentMemory(p.PID()) }

// bound gives the process a cgroup that keeps its memory_max, where that can be done;
// otherwise the host looks now and then.
func (p *Process) bound() {
	if p.spec.MemoryMax <= 0 {
		return
	}
	c, err := newCage(p.spec.Handler, p.spec.MemoryMax)
	if err != nil {
		p.spec.Log.Warn("memory_max is not kept by the kernel, only looked at twice a second, and without the plugin's children",
			"handler", p.spec.Handler, "reason", err)
		return
	}
	p.cage = c
}

// watchMemory kills a plugin that takes more than it may.
func (p *Process) watchMemory() {
	ticker := time.NewTicker(memoryInterval)
	defer ticker.Stop()
	for {
		select {
		case <-p.closing:
			return
		case <-ticker.C:
		}
		if has := p.Memory(); has > p.spec.MemoryMax {
			p.fail(fmt.Errorf("it has %s of memory, and its memory_max is %s", mebibytes(has), mebibytes(p.spec.MemoryMax)))
			return
		}
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", (n+1<<20-1)>>20) }
