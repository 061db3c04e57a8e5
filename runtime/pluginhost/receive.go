package pluginhost

import (
	"errors"
	"fmt"
	"io"

	"github.com/throttlerd/throttlerd/pluginapi"
)

// receive hands results over until the stream ends. An end that was not asked
// for is the end of the process.
func (p *Process) receive() {
	defer close(p.read)
	var batch []pluginapi.Result
	for {
		message, err := p.in.Recv()
		if errors.Is(err, io.EOF) {
			if !p.out.draining() {
				p.fail(errors.New("it ended the stream of tasks unasked"))
			}
			return
		}
		if err != nil {
			if !p.hasExited() {
				p.fail(fmt.Errorf("the stream of tasks broke: %w", err))
			}
			return
		}
		batch = batch[:0]
		for _, r := range message.Results {
			batch = append(batch, pluginapi.DecodeResult(r))
		}
		if p.to.Progress != nil && len(message.Progress) > 0 {
			p.to.Progress(pluginapi.DecodeProgress(message.Progress))
		}
		if p.to.Results != nil && len(batch) > 0 {
			p.to.Results(batch)
		}
	}
}

// hasExited tells whether the process ended by itself; the end of its stream is
// then no news.
func (p *Process) hasExited() bool {
	waitFor(p.child.ended(), lastOutput)
	select {
	case <-p.child.ended():
		return true
	default:
		return false
	}
}
