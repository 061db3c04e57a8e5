package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"

	"github.com/throttlerd/throttlerd/scheduler"
)

// What the program sets, before the environment, before the default.
func TestOptionsFromEnv(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("ann", "s3cret")
	set := func(pairs ...string) scheduler.Options {
		t.Helper()
		for i := 0; i < len(pairs); i += 2 {
			t.Setenv("THROTTLE_"+pairs[i], pairs[i+1])
		}
		o, err := scheduler.OptionsFromEnv()
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	works := func(o scheduler.Options) error {
		t.Helper()
		c, err := scheduler.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.WaitReady(t.Context())
	}
	file := filepath.Join(t.TempDir(), "pw")
	if err := os.WriteFile(file, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	unset := []string{"NAMESPACE", "", "REDIS_URL", "", "REDIS_USERNAME", "", "REDIS_PASSWORD", "", "REDIS_PASSWORD_FILE", ""}
	if o := set(unset...); !reflect.DeepEqual(o, scheduler.Options{}) {
		t.Errorf("nothing set: %+v", o)
	}
	o := set("NAMESPACE", "acme", "REDIS_URL", "redis://"+m.Addr()+"/0", "REDIS_USERNAME", "ann", "REDIS_PASSWORD", "s3cret")
	if err := works(o); err != nil || o.Namespace != "acme" {
		t.Errorf("%+v: %v", o, err)
	}
	if s := fmt.Sprintf("%v %+v %#v", o, o, o); strings.Contains(s, "s3cret") {
		t.Errorf("the password is printed: %s", s)
	}
	o.Redis.Password = "another"
	if err := works(o); err == nil {
		t.Error("the program's own password was not used")
	}
	if err := works(set("REDIS_PASSWORD", "", "REDIS_PASSWORD_FILE", file)); err != nil {
		t.Errorf("password file: %v", err)
	}
	if err := works(set("REDIS_PASSWORD_FILE", "", "REDIS_USERNAME", "", "REDIS_URL", "redis://ann:s3cret@"+m.Addr())); err != nil {
		t.Errorf("all in the address: %v", err)
	}

	t.Setenv("THROTTLE_REDIS_PASSWORD", "s3cret")
	t.Setenv("THROTTLE_REDIS_PASSWORD_FILE", file)
	if _, err := scheduler.OptionsFromEnv(); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("two passwords: %v", err)
	}
	t.Setenv("THROTTLE_REDIS_PASSWORD", "")
	t.Setenv("THROTTLE_NAMESPACE", "Not A Name")
	o = set("REDIS_PASSWORD_FILE", "")
	var invalid *scheduler.InvalidError
	if _, err := scheduler.Open(o); !errors.As(err, &invalid) {
		t.Errorf("a bad namespace: %v", err)
	}
}

func ExampleOpen() {
	m, err := miniredis.Run() // stands for your own Redis
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	os.Setenv("THROTTLE_REDIS_URL", "redis://"+m.Addr())
	defer os.Unsetenv("THROTTLE_REDIS_URL")

	options, err := scheduler.OptionsFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	options.Namespace = "acme" // what the program sets takes precedence
	client, err := scheduler.Open(options)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	queue, err := client.CreateQueue(ctx, "emails", scheduler.DefaultQueue("mailer"))
	if err != nil {
		log.Fatal(err)
	}
	receipts, err := client.SubmitMany(ctx, queue, make([]scheduler.SubmitRequest, 5))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(receipts.Ready(), "may start now,", receipts.Waiting(), "wait")
	// Output:
	// 5 may start now, 0 wait
}
