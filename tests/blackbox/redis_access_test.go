//go:build linux

package blackbox

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/throttlerd/throttlerd/tests/proc"
	"github.com/throttlerd/throttlerd/tests/redistest"
)

// accessACL are the rules of a user that may do what the product does in one namespace,
// and nothing else. TestRedisAccessACLNamesEveryCommand holds them against the scripts.
var accessACL = []string{"resetkeys", "resetchannels", "~{" + namespace + "}:*", "&{" + namespace + "}:*", "-@all",
	"+hello", "+ping", "+multi", "+exec", "+info", "+eval", "+evalsha", "+subscribe", "+publish", "+pubsub", "+time", "+get", "+set", "+del", "+unlink", "+exists", "+rename",
	"+hget", "+hmget", "+hgetall", "+hset", "+hsetnx", "+hdel", "+hexists", "+hincrby", "+hkeys", "+hlen", "+hscan",
	"+lindex", "+llen", "+lpop", "+lpos", "+lpush", "+lrange", "+ltrim", "+rpush", "+sadd", "+scard", "+smembers", "+srem",
	"+zadd", "+zcard", "+zcount", "+zmscore", "+zpopmax", "+zrank", "+zrange", "+zrangebylex", "+zrangebyscore", "+zrem", "+zremrangebyrank", "+zscore"}

// accessACLShort are rules that say the same in fewer words, with more rights.
var accessACLShort = []string{"resetkeys", "resetchannels", "~{" + namespace + "}:*", "&{" + namespace + "}:*",
	"+@all", "-@dangerous", "-@admin", "+info"}

// Passwords that must be quoted wherever something can be quoted.
const (
	password      = "pa%ss@w:or/d#1"
	wrongPassword = "wr%ong@se:cr/et#2"
)

// accessFile is a config file with its own redis block, and queue "jobs".
func (s *site) accessFile(redisBlock string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), "access.hcl")
	s.must(os.WriteFile(path, fmt.Appendf(nil, "namespace = %q\nplugin_dir = %q\nredis {\n%s\n}\n%s\n%s\n",
		namespace, proc.Build(s).PluginDir, redisBlock, s.echo(), queue("jobs")), 0o600))
	return path
}

// passwordFile holds a password as an editor leaves it.
func (s *site) passwordFile(password string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), "password")
	s.must(os.WriteFile(path, []byte(password+"\n"), 0o600))
	return path
}

// tcp is the server's URL, with a user and a password in it.
func (s *site) tcp(user, password string) string {
	s.Helper()
	u, err := url.Parse(s.redis.TCP())
	s.must(err)
	u.User = url.UserPassword(user, password)
	return u.String()
}

// command is a program of ours with settings in its environment, which package proc
// keeps clear of them. It dies with the goroutine of its test.
func command(tb testing.TB, env []string, program string, args ...string) *exec.Cmd {
	tb.Helper()
	runtime.LockOSThread()
	cmd := exec.Command(filepath.Join(filepath.Dir(proc.Build(tb).Throttlerd), program), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + tb.TempDir(), "TMPDIR=" + os.TempDir()}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	return cmd
}

// accessRun is one way to reach Redis: a file, and what the environment adds.
type accessRun struct {
	*site
	file string
	env  []string
}

// ctl runs throttlectl to its end.
func (a accessRun) ctl(args ...string) proc.Result {
	a.Helper()
	return a.run("throttlectl", append([]string{"-c", a.file, "--timeout", "3s"}, args...)...)
}

// daemon runs throttlerd to its end; if it serves instead, that is the end too.
func (a accessRun) daemon() proc.Result {
	a.Helper()
	return a.run("throttlerd", "run", "-c", a.file, "--log-level", "trace")
}

func (a accessRun) run(program string, args ...string) proc.Result {
	a.Helper()
	var stdout, stderr proc.Output
	cmd := command(a, a.env, program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	a.must(cmd.Start())
	hung := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
	defer hung.Stop()
	_ = cmd.Wait() // its code is looked at
	return proc.Result{Stdout: stdout.String(), Stderr: stderr.String(), Code: cmd.ProcessState.ExitCode(), Took: time.Since(began)}
}

// worker starts throttlerd and waits until it serves; log is what it prints.
func (a accessRun) worker() (pid int, log *proc.Output) {
	a.Helper()
	log = new(proc.Output)
	cmd := command(a, a.env, "throttlerd", "run", "-c", a.file, "--log-level", "trace")
	cmd.Stdout, cmd.Stderr = log, log
	a.must(cmd.Start())
	a.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if a.Failed() {
			a.Logf("throttlerd printed:\n%s", log)
		}
	})
	proc.Eventually(a, 15*time.Second, "the worker serves", func() bool { return strings.Contains(log.String(), "worker serves") })
	return cmd.Process.Pid, log
}

// runs demands that a task goes all its way: throttlectl submits it, a worker runs it,
// throttlectl shows it as done.
func (a accessRun) runs() {
	a.Helper()
	id := a.get("submit", "jobs", `{"sleep": "1ms"}`)["id"].(string)
	proc.Eventually(a, 10*time.Second, "throttlectl shows the task as done", func() bool {
		return a.get("task", "show", id)["state"] == "done"
	})
	a.once([]string{id})
}

// get runs a command of throttlectl that prints one object.
func (a accessRun) get(args ...string) map[string]any {
	a.Helper()
	r := a.ctl(append([]string{"--json"}, args...)...)
	var object map[string]any
	if err := json.Unmarshal([]byte(r.Stdout), &object); err != nil || r.Code != 0 || r.Stderr != "" {
		a.Fatalf("%v: %v; code %d, stdout %q, stderr:\n%s", args, err, r.Code, r.Stdout, r.Stderr)
	}
	return object
}

// hides demands that a text has no password in it, in any spelling.
func (a accessRun) hides(what, text string, passwords ...string) {
	a.Helper()
	for _, p := range passwords {
		for _, spelled := range []string{p, url.QueryEscape(p), url.PathEscape(p), strings.TrimPrefix(url.UserPassword("", p).String(), ":")} {
			if strings.Contains(text, spelled) {
				a.Errorf("%s shows the password:\n%s", what, text)
			}
		}
	}
}

func tlsBlock(attributes map[string]string) string {
	var b strings.Builder
	for name, value := range attributes {
		if value != "" {
			fmt.Fprintf(&b, "%s = %q\n", name, value)
		}
	}
	return "tls {\n" + b.String() + "}"
}

func TestRedisAccessTLS(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	for _, c := range []struct{ name, authClients, server string }{
		{"client certificate demanded", "yes", ""},
		{"server_name that fits", "yes", redistest.TLSName},
		{"no client certificate", "no", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, redistest.WithTLS(c.authClients))
			files := s.redis.Certificates()
			if c.authClients == "no" {
				files.Cert, files.Key = "", ""
			}
			a := accessRun{site: s, file: s.accessFile(fmt.Sprintf("url = %q\n%s", s.redis.TLS(), tlsBlock(map[string]string{
				"ca_file": files.CA, "cert_file": files.Cert, "key_file": files.Key, "server_name": c.server,
			})))}
			a.worker()
			a.runs()
			// a wake comes over a connection of its own, with TLS too
			if n := strings.Count(s.rdb.ClientList(s.ctx()).Val(), "cmd=subscribe"); n != 1 {
				t.Errorf("%d connections are subscribed, not the worker's one", n)
			}
		})
	}
}

// Who cannot trust the server, is not trusted by it, or speaks TLS where it does not, or
// the other way round, is told so within the time that Redis is waited for.
func TestRedisAccessTLSRefused(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	s := newSite(t, redistest.WithTLS("yes"), redistest.WithPort())
	files, others := s.redis.Certificates(), redistest.Start(t, redistest.WithTLS("no")).Certificates()
	t.Cleanup(func() { // when all the rows below have run
		if keys, err := s.rdb.Keys(s.ctx(), "*").Result(); err != nil || len(keys) > 0 {
			t.Errorf("who was refused wrote %v (%v)", keys, err)
		}
	})
	over := func(url, ca, cert, key, server string) string {
		return fmt.Sprintf("url = %q\n%s", url, tlsBlock(map[string]string{
			"ca_file": ca, "cert_file": cert, "key_file": key, "server_name": server,
		}))
	}
	for _, c := range []struct{ name, block, says string }{
		{"no ca_file", over(s.redis.TLS(), "", files.Cert, files.Key, ""), "certificate signed by unknown authority"},
		{"another authority", over(s.redis.TLS(), others.CA, files.Cert, files.Key, ""), "certificate signed by unknown authority"},
		{"server_name of another", over(s.redis.TLS(), files.CA, files.Cert, files.Key, "other.test"), "valid for " + redistest.TLSName + ", not other.test"},
		{"no client certificate", over(s.redis.TLS(), files.CA, "", "", ""), "certificate required"},
		{"client certificate of another authority", over(s.redis.TLS(), files.CA, others.Cert, others.Key, ""), ""}, // the reset that follows the server's alert may overtake it
		{"TLS to a port without", over(strings.Replace(s.redis.TCP(), "redis:", "rediss:", 1), files.CA, files.Cert, files.Key, ""), ""},
		{"no TLS to a port with it", fmt.Sprintf("url = %q", strings.Replace(s.redis.TLS(), "rediss:", "redis:", 1)), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sub := *s
			sub.T = t
			a := accessRun{site: &sub, file: sub.accessFile(c.block)}
			address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(c.block)
			a.unreachable("throttlectl", a.ctl("queue", "list"), address, c.says)
			a.unreachable("throttlerd", a.daemon(), address, c.says)
		})
	}
}

func (a accessRun) unreachable(program string, r proc.Result, address, says string) {
	a.Helper()
	if !strings.Contains(r.Stderr, address+"/0") || strings.Contains(r.Stderr, "pool.go:") {
		a.Errorf("%s does not name %s, or lets the Redis client print:\n%s", program, address, r.Stderr)
	}
	if r.Code != 5 || r.Took > 14*time.Second || r.Stdout != "" ||
		strings.Count(r.Stderr, "Error:") != 1 || !strings.Contains(r.Stderr, says) {
		a.Errorf("%s: code %d after %v, not one error that says %q; stdout %q, stderr:\n%s", program, r.Code, r.Took, says, r.Stdout, r.Stderr)
	}
}

// A password, of a user or of all, is given by a file or by the environment; a worker and
// throttlectl do with it all they do, and show it nowhere.
func TestRedisAccessPassword(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	user := redistest.WithUser("throttle", append([]string{"on", ">" + password}, accessACL...)...)
	short := redistest.WithUser("throttle", append([]string{"on", ">" + password}, accessACLShort...)...)
	all := redistest.WithPassword(password)
	for _, c := range []struct {
		name  string
		redis redistest.Option
		user  string
		env   string // the variable that holds the URL; "" is a password_file
		acl   bool
	}{
		{"ACL user, password_file", user, "throttle", "", true},
		{"ACL user of the short rules, password_file", short, "throttle", "", true},
		{"ACL user, THROTTLE_REDIS_URL", user, "throttle", "THROTTLE_REDIS_URL", true},
		{"ACL user, a variable that the file reads", user, "throttle", "MY_REDIS", true},
		{"requirepass, password_file", all, "", "", false},
		{"requirepass, THROTTLE_REDIS_URL", all, "", "THROTTLE_REDIS_URL", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, redistest.WithPort(), c.redis)
			a := accessRun{site: s}
			switch c.env {
			case "":
				block := fmt.Sprintf("url = %q\npassword_file = %q", s.redis.TCP(), s.passwordFile(password))
				if c.user != "" {
					block += fmt.Sprintf("\nusername = %q", c.user)
				}
				a.file = s.accessFile(block)
			case "THROTTLE_REDIS_URL":
				a.file = s.accessFile(`url = "redis://nobody@192.0.2.1/0"`) // which it goes over
			default:
				a.file = s.accessFile(fmt.Sprintf("url = env(%q)", c.env))
			}
			if c.env != "" {
				a.env = []string{c.env + "=" + s.tcp(c.user, password)}
			}
			pid, log := a.worker()
			a.runs()
			a.verbs()
			a.secret(pid)
			a.hides("the log", log.String(), password)
			if strings.Contains(log.String(), "INFO is refused") {
				t.Error("the user may not look at the persistence")
			}
			if !c.acl {
				return
			}
			if list := s.rdb.ClientList(s.ctx()).Val(); !strings.Contains(list, "user=throttle") {
				t.Errorf("nobody is connected as the user:\n%s", list)
			}
			if denied := s.rdb.ACLLog(s.ctx(), 10).Val(); len(denied) > 0 {
				t.Errorf("Redis denied %+v", denied[0])
			}
			if r := a.ctl("--namespace", "other", "queue", "list"); r.Code != 1 || !strings.Contains(r.Stderr, "NOPERM") {
				t.Errorf("another namespace: code %d:\n%s", r.Code, r.Stderr)
			}
		})
	}
}

// verbs has throttlectl do what it can do; each must end well, which it only does when
// Redis refuses it nothing.
func (a accessRun) verbs() {
	a.Helper()
	lines := filepath.Join(a.TempDir(), "lines")
	a.must(os.WriteFile(lines, []byte("{}\n{}\n"), 0o600))
	bad := a.get("submit", "jobs", `{"sleep": 5}`)["id"].(string) // which no retry can help
	a.waitState(bad, "dead", 5*time.Second)
	for _, args := range [][]string{
		{"queue", "create", "100/1s:5", "--name", "mine", "--handler", "echo"},
		{"queue", "pause", "mine"},
		{"queue", "update", "mine", "--rate", "50/1s"},
		{"submit", "mine", "{}", "--id", "own", "--key", "k"},
		{"submit", "mine", "{}", "--in", "1h", "--id", "later"},
		{"submit", "mine", "--file", lines},
		{"task", "list", "-q", "mine"},
		{"task", "show", "own"},
		{"task", "explain", "own"},
		{"doctor"},
		{"task", "cancel", "own"},
		{"task", "retry", "later"},
		{"queue", "list"},
		{"queue", "show", "mine"},
		{"queue", "test", "mine", "3"},
		{"queue", "resume", "mine"},
		{"queue", "purge", "mine", "--yes"},
		{"dead", "list"},
		{"dead", "retry", bad},
		{"worker", "list"},
		{"monitor", "--once"},
	} {
		if r := a.ctl(args...); r.Code != 0 {
			a.Errorf("%v: code %d, stdout %q, stderr:\n%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
	a.waitState(bad, "dead", 5*time.Second)
	for _, args := range [][]string{
		{"dead", "delete", bad, "--yes"},
		{"queue", "cleanup", "--empty", "--yes"},
	} {
		if r := a.ctl(args...); r.Code != 0 {
			a.Errorf("%v: code %d, stdout %q, stderr:\n%s", args, r.Code, r.Stdout, r.Stderr)
		}
	}
}

// secret demands that a worker's password stands in no place where others can look: its
// arguments, and all that its plugin was given.
func (a accessRun) secret(worker int) {
	a.Helper()
	plugins := proc.Children(worker)
	if len(plugins) != 1 {
		a.Fatalf("the worker has the processes %v, not one plugin", plugins)
	}
	for _, path := range []string{
		fmt.Sprintf("/proc/%d/cmdline", worker),
		fmt.Sprintf("/proc/%d/cmdline", plugins[0]),
		fmt.Sprintf("/proc/%d/environ", plugins[0]),
	} {
		text, err := os.ReadFile(path)
		a.must(err)
		if len(text) == 0 {
			a.Errorf("%s is empty", path)
		}
		a.hides(path, string(text), password)
	}
}

// A wrong password is an answer: it is said at once, with the address and what to do, and
// the password is not.
func TestRedisAccessDenied(t *testing.T) {
	t.Parallel()
	proc.Ctl(t, "version") // builds it
	s := newSite(t, redistest.WithPort(), redistest.WithPassword(password),
		redistest.WithUser("throttle", append([]string{"on", ">" + password}, accessACL...)...))
	address, err := url.Parse(s.redis.TCP())
	s.must(err)
	for _, c := range []struct {
		name, user string
		given      string
		env        bool
		says       string
	}{
		{"wrong password_file", "throttle", wrongPassword, false, "WRONGPASS"},
		{"wrong password in THROTTLE_REDIS_URL", "throttle", wrongPassword, true, "WRONGPASS"},
		{"unknown user", "stranger", password, false, "WRONGPASS"},
		{"wrong requirepass, password_file", "", wrongPassword, false, "WRONGPASS"},
		{"wrong requirepass in THROTTLE_REDIS_URL", "", wrongPassword, true, "WRONGPASS"},
		{"no password", "", "", false, "NOAUTH"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sub := *s
			sub.T = t
			block := fmt.Sprintf("url = %q", s.redis.TCP())
			if !c.env && c.given != "" {
				block += fmt.Sprintf("\npassword_file = %q", sub.passwordFile(c.given))
				if c.user != "" {
					block += fmt.Sprintf("\nusername = %q", c.user)
				}
			}
			a := accessRun{site: &sub, file: sub.accessFile(block)}
			if c.env {
				a.env = []string{"THROTTLE_REDIS_URL=" + sub.tcp(c.user, c.given)}
			}
			ctl := []string{c.says, address.Host, "THROTTLE_REDIS_URL"}
			a.denied("throttlectl", a.ctl("queue", "list"), ctl...)
			a.denied("throttlectl --json", a.ctl("queue", "list", "--json"), ctl...)
			a.denied("throttlerd", a.daemon(), ctl...)
		})
	}
}

func (a accessRun) denied(program string, r proc.Result, says ...string) {
	a.Helper()
	if r.Code != 1 || r.Took > 5*time.Second || r.Stdout != "" {
		a.Errorf("%s: code %d after %v, stdout %q", program, r.Code, r.Took, r.Stdout)
	}
	for _, text := range says {
		if !strings.Contains(r.Stderr, text) {
			a.Errorf("%s does not say %q:\n%s", program, text, r.Stderr)
		}
	}
	a.hides(program, r.Stdout+r.Stderr, wrongPassword, password)
}

// What a script calls, the user of the rules may call.
func TestRedisAccessACLNamesEveryCommand(t *testing.T) {
	t.Parallel()
	call := regexp.MustCompile(`redis\.p?call\(\s*['"](\w+)['"]`)
	total := 0
	for _, pattern := range []string{"../../scheduler/lua/*.lua", "../../ratelimit/*.lua"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no scripts (%v)", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range call.FindAllStringSubmatch(string(text), -1) {
				total++
				if rule := "+" + strings.ToLower(m[1]); !slices.Contains(accessACL, rule) {
					t.Errorf("%s calls %s, which the rules do not allow: %s", filepath.Base(file), m[1], rule)
				}
			}
		}
	}
	if total < 100 {
		t.Errorf("only %d calls were found", total)
	}
}
