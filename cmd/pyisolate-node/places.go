package main

import (
	"fmt"

	"github.com/pyisolate/pyisolate/node"
)

// Where the node is, and what it is called with, for commands without the flags.
const (
	socketEnv    = "PYISOLATE_SOCKET"
	serverEnv    = "PYISOLATE_SERVER"
	contextEnv   = "PYISOLATE_CONTEXT"
	caEnv        = "PYISOLATE_CA"
	tokenEnv     = "PYISOLATE_TOKEN"
	tokenFileEnv = "PYISOLATE_TOKEN_FILE" //nolint:gosec // it is the name of a variable
)

// defaultSocket is where a node of this user listens.
func defaultSocket() (string, error) {
	path, err := node.DefaultSocket()
	if err != nil {
		return "", usageError{fmt.Errorf("%w, with --socket", err)}
	}
	return path, nil
}
