// Package mutants puts one defect at a time into the engine and demands that the test of
// the rule it breaks fails. The defect is laid over the source by `go build -overlay`; the
// tree is not touched. A few run with every `go test ./...`; THROTTLE_LONG=1, as in
// `make mutants`, runs them all.
package mutants

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// mutant is one defect: in a file, the only place of a text is replaced.
type mutant struct {
	rule     string
	file     string
	from, to string
	pkg      string
	test     string
	quick    bool // runs always
}

// mutants are grouped by what they break: tokens, leases and fences, turns and order,
// bounds. The rules are those of DESIGN, README and docs/decisions.
var mutants = []mutant{
	// tokens
	{"P/N keeps its remainder", "ratelimit/bucket.lua",
		"return c * d + (x - m) / N, m", "return c * d, 0",
		"./tests/faults", "TestNothingWithoutAFault", false},
	{"the bucket is exact", "ratelimit/bucket.lua",
		"return F + us + 1, R - N", "return F + us, R - N",
		"./ratelimit", "TestLuaDoesNotDrift", true},
	{"a start is not refunded", "scheduler/lua/outcome.lua",
		"      done = done + 1\n", "      done = done + 1 use_corrections() buckets_credit(q.b, 1, now) q.changed = true\n",
		"./scheduler", "TestRandomSetsHold", false},
	{"a queue is debited at the start instant", "scheduler/lua/supply.lua",
		"buckets_debit(q.b, at, c)", "buckets_debit(q.b, now, c)",
		"./scheduler", "TestRandomOperations", false},
	{"a key is debited at the start instant", "scheduler/lua/supply.lua",
		"key_take(q, t, at, c)\n  end", "key_take(q, t, now, c)\n  end",
		"./scheduler", "TestKeyIsDebitedAtTheStart", false},
	{"only a full bucket is dropped", "ratelimit/sweep.lua",
		"buckets_whole(l.b) <= now", "buckets_whole(l.b) <= now + 3600000000",
		"./ratelimit", "TestLimiter", false},
	{"a change of rate keeps the balance", "ratelimit/bucket.lua",
		"left = math.min(bucket_left(N, P, B, F, R, t), B2)", "left = B2",
		"./scheduler", "TestRateChange", false},
	{"a set of limits is granted whole or not at all", "scheduler/lua/turns.lua",
		"      if room > at then\n", "      if false then\n",
		"./scheduler", "TestSetIsAllOrNothing", true},
	{"engine time absorbs steps back", "ratelimit/clock.lua",
		"return last, off + (last - now), last - now", "return now, off, 0",
		"./ratelimit", "TestClock", true},
	{"a credit mints nothing", "ratelimit/buckets.lua",
		"r[4], r[5] = now, 0", "r[4], r[5] = r[4], 0",
		"./ratelimit", "TestBuckets", false},
	{"a freeze takes the later instant", "scheduler/lua/outcome.lua",
		"x.b.frozen = math.max(x.b.frozen, now + math.min(t.number, MAX_FREEZE))", "x.b.frozen = now + math.min(t.number, MAX_FREEZE)",
		"./scheduler", "TestLaterFreezeHolds", false},

	// leases and fences
	{"a settle names its fence", "scheduler/lua/settle.lua",
		"if fence == ARGV[i + 1] then", "if fence then",
		"./scheduler", "TestOldFenceSettlesNothing", true},
	{"a settle of what is done names its fence", "scheduler/lua/settle_plain.lua",
		"if fence and fence == ARGV[k * 3] and", "if fence and",
		"./scheduler", "TestOldFenceSettlesNothing", false},
	{"a task is leased before its worker knows of it", "scheduler/lua/claim.lua",
		"lease_write(run)", "redis.call('HSET', KEYS[1], 'fence', fence)",
		"./tests/faults", "TestWorkersKilled", false},
	{"a dead worker's tasks go back before it is forgotten", "scheduler/lua/tick.lua",
		"if reap_tasks(dead[i], tonumber(dead[i + 1]) - lease, max, now) then", "if true then",
		"./tests/faults", "TestWorkersKilled", false},
	{"a claim asked again returns the same tasks", "scheduler/lua/begin.lua",
		"local again = number <= tonumber(last)", "local again = false",
		"./tests/faults", "TestRepliesLost", false},
	{"a task that was handed over comes once", "scheduler/claims.go",
		"if fence <= c.fence {", "if false {",
		"./scheduler", "TestHandedTaskComesWithTheNextClaim", true},
	{"what was handed over unheard comes with a claim", "scheduler/lua/claim.lua",
		"if tonumber(n) >= number then", "if tonumber(n) == last then",
		"./scheduler", "TestSeveralHandedTasksComeWithTheNextClaim", false},
	{"one alone in its queue is handed over", "scheduler/lua/submit_plain.lua",
		"  if ahead == 0 then\n    if not free then", "  if true then\n    if not free then",
		"./scheduler", "TestOnlyALoneTaskIsHandedOver", false},
	{"a reaped worker claims nothing", "scheduler/lua/begin.lua",
		"if not last or reaped then", "last = last or 0\nif false then",
		"./scheduler", "TestDeadWorkersTasksWaitAgain", false},
	{"after an outage leases are renewed before anything is reaped", "scheduler/lua/tick.lua",
		"if now - last > 2000000 then", "if false then",
		"./scheduler", "TestOutageRenewsEveryLease", true},
	{"a dead worker is not excused for ever", "scheduler/lua/tick.lua",
		"and times < 3 and not w[2] then", "then",
		"./scheduler", "TestDeadWorkerIsExcusedThreeTimes", false},
	{"what is too late is handed back", "runtime/dispatch.go",
		"lateAfter = 250 * time.Millisecond", "lateAfter = 250 * time.Second",
		"./tests/blackbox", "TestStalledWorkerStartsNothingLate", false},
	{"what is reserved starts at its instant", "runtime/dispatch.go",
		"s.NotBefore = r.start ", "s.NotBefore = now ",
		"./tests/faults", "TestNothingWithoutAFault", false},
	{"what stood still until its lease was over does not start", "runtime/dispatch.go",
		"s.NotAfter = r.notAfter", "",
		"./tests/faults", "TestPluginPausedPastTheLease", false},

	// turns and order
	{"a limit serves by the last turn", "scheduler/lua/turns.lua",
		"q.turn = c.fence + claim.total", "q.turn = q.turn",
		"./scheduler", "TestSharedLimitTakesTurns", true},
	{"a limit waits for its first where that costs nothing", "scheduler/lua/turns.lua",
		"if cost > 0 and first > c.now and first - from <= pace then", "if false then",
		"./scheduler", "TestContendedLimits", false},
	{"what the first of another limit needs is kept", "ratelimit/limit.lua",
		"if k and k.queue ~= queue and k.turn < turn and k.costs[l.name] and keep_holds(k) then", "if false then",
		"./scheduler", "TestContendedCaps", false},
	{"a limit waits for its next task, not the one just granted", "scheduler/lua/turns.lua",
		"l.known, l.head, l.ver = nil, nil, l.ver + 1", "l.known, l.ver = nil, l.ver + 1",
		"./scheduler", "TestCheapTaskBehindADearOne", false},
	{"a queue that is alone takes no more than its limits have", "scheduler/lua/claim_alone.lua",
		"if cost == 0 or x.cost > x.left then", "if cost == 0 then",
		"./scheduler", "TestLoneClaimIsTheLongOne", true},
	{"of a queue that is alone too, a key that was served goes behind", "scheduler/lua/claim_alone.lua",
		"if k.pass > q.least then", "if false then",
		"./scheduler", "TestLoneClaimIsTheLongOne", false},
	{"no state is left of a key that is as new", "scheduler/lua/claim_alone.lua",
		"elseif keys.was[i].known then", "elseif false then",
		"./scheduler", "TestLoneClaimIsTheLongOne", false},
	{"what starts while places are counted takes one", "scheduler/lua/key.lua",
		"return k.cap > 0 or q.defaults.counted", "return k.cap > 0",
		"./scheduler", "TestStartDuringACountTakesAPlace", false},
	{"a new cap of keys counts what runs", "scheduler/lua/count.lua",
		"k.running = k.running + 1", "k.running = k.running + 0",
		"./scheduler", "TestKeyCapCountsWhatRuns", false},
	{"a place under a cap that comes free is announced", "scheduler/lua/settle_plain.lua",
		"if (v[2] or '0') ~= '0' then", "if false then",
		"./scheduler", "TestShortSettleIsTheLongOne", false},
	{"unlimited queues take turns", "scheduler/lua/claim_plain.lua",
		"local part = math.ceil(n / (#list - j + 1))", "local part = n",
		"./scheduler", "TestUnlimitedQueuesTakeTurns", false},
	{"queues that no limit holds up take turns", "scheduler/lua/claim.lua",
		"local part = math.ceil(n / (#list - j + 1))", "local part = n",
		"./scheduler", "TestHardlyLimitedQueuesTakeTurns", false},
	{"a task given back keeps its turn", "scheduler/lua/outcome.lua",
		"front[#front + 1] = t.seq\n", "front[#front + 1] = now\n",
		"./scheduler", "TestGivenBackToTheFrontInOrder", false},
	{"an overdue task is not overtaken by a new one", "scheduler/lua/submit.lua",
		"local overdue = promote(q, now, 500)", "local overdue = false",
		"./scheduler", "TestScheduledTasksAreNotOvertaken", false},
	{"reservations take half of the slots", "scheduler/lua/claim.lua",
		"return math.ceil(slots / 2)", "return slots",
		"./scheduler", "TestReservationsTakeHalfOfTheSlots", false},
	{"one worker is woken, and wakes the next", "scheduler/lua/next.lua",
		"    redis.call('ZREM', K.IDLE .. index, worker)\n    wake_entry(base, entry)", "    redis.call('ZREM', K.IDLE .. index, worker)",
		"./scheduler", "TestIdleWorkersAreWokenOneByOne", false},

	// bounds
	{"a cap counts the place that is taken", "ratelimit/limit.lua",
		"l.running >= l.cap", "l.running > l.cap",
		"./scheduler", "TestConcurrencyCaps", false},
	{"a throttle is not repeated without end", "scheduler/lua/outcome.lua",
		"if set.T > MAX_THROTTLES then", "if false then",
		"./scheduler", "TestThrottlesAreBounded", false},
	{"a task that kills its plugin dies", "scheduler/lua/outcome.lua",
		"if set.c >= t.number then", "if false then",
		"./scheduler", "TestPoisonDiesAtItsThirdCrash", false},
	{"histories are bounded", "scheduler/lua/outcome.lua",
		"  if over > 0 then", "  if false then",
		"./scheduler", "TestHistoryIsBounded", false},
	{"a claim begins with a removal, for a full Redis", "scheduler/lua/claim.lua",
		"  redis.call('HDEL', KEYS[1], '')\n", "",
		"./scheduler", "TestFullMemory", false},
}

// Every mutant has its place in the source.
func TestPlaces(t *testing.T) {
	for _, m := range mutants {
		m.overlay(t)
	}
}

func TestMutants(t *testing.T) {
	for _, m := range mutants {
		if m.quick || os.Getenv("THROTTLE_LONG") == "1" {
			t.Run(m.rule, func(t *testing.T) { m.run(t, m.overlay(t)) })
		}
	}
}

const root = "../.."

// overlay writes the file with the defect, and what tells go to take it.
func (m mutant) overlay(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, m.file))
	if err != nil {
		t.Fatal(err)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), m.from); n != 1 {
		t.Errorf("%s has %q %d times, not once: the mutant has to follow the source", m.file, m.from, n)
	}
	dir := t.TempDir()
	bad, list := filepath.Join(dir, filepath.Base(m.file)), filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: bad}})
	if err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{bad: strings.Replace(string(src), m.from, m.to, 1), list: string(text)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// run demands that the test fails, as a test and not for want of a build.
func (m mutant) run(t *testing.T, overlay string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "3m", "-run", "^("+m.test+")", m.pkg)
	cmd.Dir = root
	// by the environment, so that tests which build programs build them with it
	cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+overlay, "THROTTLE_LONG=")
	cmd.WaitDelay = 5 * time.Second
	began := time.Now()
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("nobody noticed: %s passes %s\n%s", m.pkg, m.test, out)
	case !strings.Contains(string(out), "--- FAIL"):
		t.Errorf("%s %s did not fail as a test:\n%s", m.pkg, m.test, out)
	default:
		t.Logf("noticed by %s %s after %v", m.pkg, m.test, time.Since(began).Round(time.Millisecond))
	}
}
