package pluginapi

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
)

// debugFlag is the one argument of a plugin that is started by hand to be attached to.
const debugFlag = "-debug"

func wantsDebug() bool {
	return len(os.Args) == 2 && (os.Args[1] == debugFlag || os.Args[1] == "-"+debugFlag)
}

// reattach is what throttlerd reads of the environment, as Terraform spells it.
type reattach struct {
	Protocol        string
	ProtocolVersion int
	Pid             int
	Test            bool
	Addr            struct{ Network, String string }
}

// serveDebug serves h until SIGINT or SIGTERM, to hosts that attach to it: it says how.
func serveDebug(h Handler) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ready, closed := make(chan *plugin.ReattachConfig, 1), make(chan struct{})
	config := serveConfig(h, hclog.New(&hclog.LoggerOptions{Level: logLevel(), Output: os.Stderr}))
	config.Test = &plugin.ServeTestConfig{Context: ctx, ReattachConfigCh: ready, CloseCh: closed}
	go plugin.Serve(config)
	select {
	case at := <-ready:
		fmt.Print(howToAttach(describe(h).Name, at))
	case <-closed:
		fmt.Fprintln(os.Stderr, "the plugin cannot serve; its log says why")
		os.Exit(1)
	}
	<-closed
}

func howToAttach(name string, at *plugin.ReattachConfig) string {
	r := reattach{Protocol: string(at.Protocol), ProtocolVersion: at.ProtocolVersion, Pid: at.Pid, Test: at.Test}
	r.Addr.Network, r.Addr.String = at.Addr.Network(), at.Addr.String()
	text, err := json.Marshal(map[string]reattach{name: r})
	if err != nil {
		panic(err) // of text and numbers
	}
	return fmt.Sprintf(`%s waits for a throttlerd, without encryption. Where handler %[1]q is declared:

  export THROTTLE_REATTACH_HANDLERS='%s'
  throttlerd dev -c config.hcl

For a handler of another name, put that name in. Ctrl-C ends it.
`, name, text)
}
