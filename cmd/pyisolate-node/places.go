package main

import (
	"fmt"
	"os"

	"github.com/pyisolate/pyisolate/node"
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
	path, err := node.DefaultSocket()
	if err != nil {
		return "", usageError{fmt.Errorf("%w, with --socket", err)}
	}
	return path, nil
}
