package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Where the node is, and what it is called with, for commands without the flags.
const (
	socketEnv = "PYISOLATE_SOCKET"
	tokenEnv  = "PYISOLATE_TOKEN"
)

// defaultSocket is where a node of this user listens: $PYISOLATE_SOCKET, or /run/pyisolate for
// root and for others the directory that the system gives a user for sockets.
func defaultSocket() (string, error) {
	if path := os.Getenv(socketEnv); path != "" {
		return path, nil
	}
	dir := "/run"
	if os.Geteuid() != 0 {
		if dir = os.Getenv("XDG_RUNTIME_DIR"); dir == "" {
			return "", usageError{errors.New("there is no $XDG_RUNTIME_DIR: say where the socket is with --socket")}
		}
	}
	return filepath.Join(dir, "pyisolate", "node.sock"), nil
}

// defaultData is where a node of this user keeps what must outlive it.
func defaultData() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/pyisolate", nil
	}
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", usageError{fmt.Errorf("%w: say where to keep data with --data", err)}
		}
		dir = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(dir, "pyisolate"), nil
}

// place is the flag's value or the default, absolute.
func place(flag string, otherwise func() (string, error)) (string, error) {
	other := ""
	if flag == "" {
		var err error
		if other, err = otherwise(); err != nil {
			return "", err
		}
	}
	return filepath.Abs(cmp.Or(flag, other))
}
