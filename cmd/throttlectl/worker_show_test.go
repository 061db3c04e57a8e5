package main

import (
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/scheduler"
)

func TestWorkerShow(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	b.queue("slow", "smtp", "1/2s")
	s := b.register(scheduler.Worker{
		ID: "web-1-aa", Slots: map[string]int{"smtp": 64, "http": 8}, Pools: []string{"default", "bulk"},
		Queues: []string{"emails", "slow"}, Down: []string{"http"}, Lease: time.Minute,
	})
	b.register(scheduler.Worker{ID: "web-1-bb", Slots: map[string]int{"smtp": 1}, Pools: []string{"default"}, Lease: time.Minute})
	_, err := b.Submit(b.ctx(), scheduler.SubmitRequest{Queue: "emails", ID: "order-1", Type: "mail", Key: "ann", Payload: []byte("{}")})
	b.must(err)
	b.submit("slow", "{}")
	b.claim(s, "smtp", 2)
	b.submit("slow", "{}")
	g, _, _, err := s.Exchange(b.ctx(), nil, &scheduler.Claim{Slots: []scheduler.Slots{{Index: "default:smtp", Free: 9}}, Lookahead: 3 * time.Second})
	b.must(err)
	if len(g.Grants) != 1 || g.Grants[0].StartIn < time.Second {
		t.Fatalf("nothing is reserved: %+v", g.Grants)
	}
	golden(t, "worker_show.txt", b.ok("worker", "show", "web-1-aa"))
	golden(t, "worker_show_detailed.txt", b.ok("worker", "show", "web-1-a", "--detailed"))
	var v struct {
		workerView
		Queues   []string
		Reserved int
		Loads    []handlerLoad `json:"handler_loads"`
		Tasks    []heldView
	}
	b.decode(&v, "worker", "show", "web-1-aa", "--detailed")
	if v.Running != 2 || v.Reserved != 1 || len(v.Tasks) != 3 || v.ConfigHash != "0123456789ab" || len(v.Queues) != 2 {
		t.Errorf("%+v", v)
	}
	if v.Loads[0] != (handlerLoad{"http", 8, 0, 0, true}) || v.Loads[1] != (handlerLoad{"smtp", 64, 2, 1, false}) {
		t.Errorf("%+v", v.Loads)
	}
	if x := v.Tasks[2]; x.State != "reserved" || x.Queue != "slow" || x.Age > -0.1 {
		t.Errorf("%+v", x)
	}
	b.mistakes([]mistake{
		{"worker show", 2, "usage", "argument ID is missing"},
		{"worker show web-1", 2, "usage", `2 workers have ids that begin with "web-1"; give more of it: web-1-aa, web-1-bb`},
		{"worker show web-1-cc", 3, "not_found", `no worker "web-1-cc" in namespace "throttle"; did you mean`},
		{"worker list --queues --check", 2, "usage", "exclude each other"},
	})
}

func TestWorkerHealth(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.queue("emails", "smtp", "")
	b.queue("letters", "post", "")
	s := b.worker("w1", map[string]int{"smtp": 8, "http": 2})
	if out := b.ok("worker", "list", "--check"); out != "healthy: 1 live worker\n" {
		t.Error(out)
	}
	b.must(s.Announce(b.ctx(), func(w *scheduler.Worker) { w.Down = []string{"http"} }))
	r := b.run("worker", "list", "--check")
	if r.code != 1 || r.out != "degraded: 1 live worker\n" || r.err != "Error: degraded: handler \"http\" is down on worker w1\n" {
		t.Errorf("%+v", r)
	}
	b.submit("letters", "{}")
	b.submit("emails", "{}")
	r = b.run("worker", "list", "--check", "--json")
	var v healthView
	decode(t, r.out, &v)
	if r.code != 1 || v.Status != "unhealthy" || v.Workers != 1 || len(v.Reasons) != 2 {
		t.Errorf("%+v %+v", r, v)
	}
	contains(t, r.err, `"code":"failed"`, `queue \"letters\" has 1 waiting, but no live worker`)
	contains(t, b.ok("worker", "list"), "\nunhealthy: 1 live worker\n", `  queue "letters" has 1 waiting`)
	golden(t, "worker_list_queues.txt", b.ok("worker", "list", "--queues"))
	var services []serviceView
	b.decode(&services, "worker", "list", "--queues")
	if len(services) != 2 || services[0] != (serviceView{"emails", "smtp", "default", 1, 8, 0, 1, 0}) || services[1].Workers != 0 {
		t.Errorf("%+v", services)
	}
}
