// Package environ reads the environment variables that the product's programs and its
// library share. An empty value counts as unset.
package environ

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// The variables.
const (
	Config       = "THROTTLE_CONFIG"
	Namespace    = "THROTTLE_NAMESPACE"
	RedisURL     = "THROTTLE_REDIS_URL"
	Username     = "THROTTLE_REDIS_USERNAME"
	Password     = "THROTTLE_REDIS_PASSWORD"
	PasswordFile = "THROTTLE_REDIS_PASSWORD_FILE"
	CAFile       = "THROTTLE_REDIS_CA_FILE"
	CertFile     = "THROTTLE_REDIS_CERT_FILE"
	KeyFile      = "THROTTLE_REDIS_KEY_FILE"
	ServerName   = "THROTTLE_REDIS_SERVER_NAME"
	Pool         = "THROTTLE_POOL"
	Concurrency  = "THROTTLE_CONCURRENCY"
	LogLevel     = "THROTTLE_LOG_LEVEL"
	Reattach     = "THROTTLE_REATTACH_HANDLERS"
)

// Lookup finds a variable, as os.LookupEnv does.
type Lookup func(name string) (value string, set bool)

// Get returns a variable's value; a nil Lookup asks the process's environment.
func (l Lookup) Get(name string) string {
	if l == nil {
		l = os.LookupEnv
	}
	value, _ := l(name)
	return value
}

// Redis is what the environment says of the connection; what it does not say is empty.
type Redis struct {
	URL                                   string
	Username, Password                    string // of their own variables; the URL may hold others
	CAFile, CertFile, KeyFile, ServerName string
}

// ReadRedis reads them, and the password from its file. An error names the variable,
// never the password.
func ReadRedis(l Lookup) (Redis, error) {
	r := Redis{
		URL: l.Get(RedisURL), Username: l.Get(Username), Password: l.Get(Password),
		CAFile: l.Get(CAFile), CertFile: l.Get(CertFile), KeyFile: l.Get(KeyFile), ServerName: l.Get(ServerName),
	}
	if (r.CertFile == "") != (r.KeyFile == "") {
		return Redis{}, fmt.Errorf("%s and %s belong together: set both or neither", CertFile, KeyFile)
	}
	path := l.Get(PasswordFile)
	if path == "" {
		return r, nil
	}
	if r.Password != "" {
		return Redis{}, fmt.Errorf("%s and %s are both set: unset one of them", Password, PasswordFile)
	}
	var err error
	if r.Password, err = readPassword(path); err != nil {
		return Redis{}, fmt.Errorf("%s: %w", PasswordFile, err)
	}
	return r, nil
}

const maxPassword = 64 << 10

// readPassword reads a file, without the newline that editors add.
func readPassword(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPassword+1))
	if err != nil {
		return "", err
	}
	if len(text) > maxPassword {
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxPassword)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" {
		return "", errors.New(path + " holds no password")
	}
	return password, nil
}
