package main

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

var config = map[string]any{"from": "shop@example.com", "timeout": "1h"}

// In a bubble, an hour of waiting takes no time.
func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := plugintest.Run(t, pluginapi.Typed(send), config, pluginapi.Task{
			Payload: []byte(`{"to": "ann@example.com", "parts": ["text", "picture"]}`),
		})
		r.Want(pluginapi.Done, "ann@example.com")
		if r.Took != 2*time.Second || len(r.Progress) != 2 || r.Progress[0].Percent != 50 {
			t.Errorf("took %s, %+v", r.Took, r.Progress)
		}
		var receipt Receipt
		if r.Decode(&receipt); receipt.Parts != 2 {
			t.Errorf("%+v", receipt)
		}
	})
}

func TestSendIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		running := plugintest.Start(t, pluginapi.Typed(send), config, pluginapi.Task{
			Payload: []byte(`{"to": "ann@example.com", "parts": ["text"]}`),
		})
		synctest.Wait() // the handler is at work
		running.Cancel(pluginapi.ErrTaskCancelled)
		running.Result().Want(pluginapi.Failed, "task cancelled")
	})
}

func TestConfig(t *testing.T) {
	err := plugintest.Configure(t, pluginapi.Typed(send), `{"from": "shop"}`)
	if err == nil || err.Error() != `attribute "from": is no address` {
		t.Errorf("%v", err)
	}
}
