package pluginhost

import "time"

// SetHealth changes how a hang is found until the returned function is called.
// No process may run when either is.
func SetHealth(interval, timeout time.Duration) (restore func()) {
	i, t := healthInterval, healthTimeout
	healthInterval, healthTimeout = interval, timeout
	return func() { healthInterval, healthTimeout = i, t }
}

// SetHandshake changes how long a handshake may take until the returned function
// is called.
func SetHandshake(timeout time.Duration) (restore func()) {
	t := handshakeTimeout
	handshakeTimeout = timeout
	return func() { handshakeTimeout = t }
}
