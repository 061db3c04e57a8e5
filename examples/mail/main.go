// Command mail is a handler plugin whose config, payload and result are Go values. It
// sends nothing: the call of a mail server would go into send.
package main

import (
	"context"
	"errors"
	"log"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

type Config struct {
	From    string        `hcl:"from" doc:"sender of the mails"`
	Timeout time.Duration `hcl:"timeout" default:"15s"`
	Token   string        `hcl:"token,optional" sensitive:"true"`
}

func (c *Config) Check() error {
	if !strings.Contains(c.From, "@") {
		return pluginapi.BadAttribute("from", "is no address")
	}
	return nil
}

type Mail struct {
	To      string   `json:"to" required:"true" doc:"whom to send it to"`
	Subject string   `json:"subject"`
	Parts   []string `json:"parts"`
}

type Receipt struct {
	From, To string
	Parts    int
}

func send(ctx context.Context, c Config, t pluginapi.TaskOf[Mail]) (Receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	parts := t.Payload.Parts
	for i, part := range parts {
		if err := sendPart(ctx, t.IdempotencyKey(), part); err != nil {
			return Receipt{}, err
		}
		t.Progress(100*(i+1)/len(parts), part+" is sent")
	}
	return Receipt{c.From, t.Payload.To, len(parts)}, nil
}

// sendPart waits a second where a mail server would be called.
func sendPart(ctx context.Context, _, part string) error {
	if part == "" {
		return pluginapi.Permanent(errors.New("an empty part"))
	}
	select {
	case <-time.After(time.Second):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func observe(_ context.Context, t *pluginapi.Task, r pluginapi.Result) {
	log.Printf("%s of queue %s: %s after %s", t.ID, t.Queue, r.Outcome, r.Took)
}

func main() {
	pluginapi.Serve(pluginapi.Wrap(pluginapi.Typed(send), pluginapi.Observe(observe)))
}
