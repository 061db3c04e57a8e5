package pluginhost

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// credentialOf returns what a process of this user gets, its groups too; nil for the
// user that the host is.
func credentialOf(name string) (*syscall.Credential, error) {
	if name == "" {
		return nil, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return nil, fmt.Errorf("user %q: there is no such user on this machine; create it, or correct the handler's user", name)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %q has the id %q, which is no number", name, u.Uid)
	}
	if int(uid) == os.Geteuid() {
		return nil, nil
	}
	if os.Geteuid() != 0 {
		return nil, fmt.Errorf("running a plugin as user %q takes root, and throttlerd runs as user id %d; start it as root, or as %[1]q, or remove the handler's user", name, os.Geteuid())
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("user %q has the group id %q, which is no number", name, u.Gid)
	}
	c := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	groups, err := u.GroupIds()
	if err != nil {
		return nil, fmt.Errorf("groups of user %q: %w", name, err)
	}
	for _, g := range groups {
		if id, err := strconv.ParseUint(g, 10, 32); err == nil {
			c.Groups = append(c.Groups, uint32(id))
		}
	}
	return c, nil
}

// letThrough lets another user pass through the run directory to the one of its own
// socket, which it alone may enter. Nobody else can list it.
func letThrough(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	const pass = 0o011
	if info.Mode().Perm()&pass == pass {
		return nil
	}
	return os.Chmod(dir, info.Mode().Perm()|pass)
}
