package main

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/plugintest"
)

func secretOf(letter string, n int) string {
	return "whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(letter, n)))
}

// The reference library of the specification verifies what is sent, with either secret
// while they are rotated, and with no other.
func TestSignature(t *testing.T) {
	first, second, other := secretOf("a", 24), secretOf("b", 64), secretOf("c", 32)
	file := filepath.Join(t.TempDir(), "secret")
	for _, c := range []struct {
		name    string
		text    string
		env     bool
		valid   []string
		invalid []string
	}{
		{"one in a file", first + "\n", false, []string{first}, []string{second, other}},
		{"two in a file", first + "\n" + second + "\n", false, []string{first, second}, []string{other}},
		{"two in the environment", first + " " + second, true, []string{first, second}, []string{other}},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen++
				if id := r.Header.Get("Webhook-Id"); id != "order~4711~1900000000" {
					t.Errorf("the id %s has full stops", id)
				}
				body, _ := io.ReadAll(r.Body)
				for _, secret := range append(c.valid, c.invalid...) {
					hook, err := standardwebhooks.NewWebhook(secret)
					if err != nil {
						t.Error(err)
						return
					}
					err = hook.Verify(body, r.Header)
					if want := len(c.valid) > 0 && strings.Contains(strings.Join(c.valid, " "), secret); (err == nil) != want {
						t.Errorf("secret %.12s…: %v", secret, err)
					}
					if hook.Verify(append(body, ' '), r.Header) == nil {
						t.Error("a changed body is verified")
					}
				}
			}))
			defer server.Close()
			config := local(server.URL)
			if c.env {
				t.Setenv("HOOK_SECRETS", c.text)
				config["secret_env"] = "HOOK_SECRETS"
			} else {
				if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
					t.Fatal(err)
				}
				config["secret_file"] = file
			}
			plugintest.Run(t, &webhook{}, config, pluginapi.Task{ID: "order.4711.1900000000", Payload: []byte(`{"a":1}`)}).Want(pluginapi.Done, "200")
			if seen != 1 {
				t.Errorf("%d deliveries", seen)
			}
		})
	}
}

func TestBadSecrets(t *testing.T) {
	for text, says := range map[string]string{
		"   ":                                    "holds 0 secrets",
		"hunter2hunter2":                         "does not begin with whsec_",
		"whsec_hunter2!":                         "is not base64",
		secretOf("hunter2", 3):                   "has 21 bytes",
		secretOf("x", 65):                        "has 65 bytes",
		secretOf("x", 24) + " hunter2":           "secret 2 does not begin",
		strings.Repeat(secretOf("x", 24)+" ", 3): "holds 3 secrets",
	} {
		t.Setenv("HOOK_SECRETS", text)
		err := plugintest.Configure(t, &webhook{}, `{"url": "https://x/", "secret_env": "HOOK_SECRETS"}`)
		if text == "   " {
			says = "holds 0 secrets"
		}
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
