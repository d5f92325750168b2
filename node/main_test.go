package node

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// nodeEnv has this binary be a node with that data directory: nodes of one cluster are processes of
// their own.
const nodeEnv = "PYISOLATE_TEST_NODE"

func TestMain(m *testing.M) {
	Init() // hosts of cells are this binary
	if data := os.Getenv(nodeEnv); data != "" {
		if err := serveTest(data); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// serveTest is a node until SIGTERM, or until its standard input ends: with the test.
func serveTest(data string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() { // it ends with the process
		_, _ = os.Stdin.Read(make([]byte, 1))
		stop()
	}()
	n, err := Open(ctx, Config{Data: data, Socket: data + ".sock", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		ClusterLease: testLease, ClusterTimeout: testTimeout, DrainTimeout: time.Second})
	if err != nil {
		return err
	}
	return n.Serve(ctx)
}

// A busy machine stops a node for a second or two: then it may not lose its lease, and with that its cells.
const (
	testLease   = 5 * time.Second
	testTimeout = 300 * time.Millisecond
)
