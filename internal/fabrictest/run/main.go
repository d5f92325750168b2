// Command run shows and measures a cluster of three real nodes on this machine.
//
//	go run ./internal/fabrictest/run -program bin/pyisolate-node demo
//	go run ./internal/fabrictest/run -program bin/pyisolate-node demo-migration
//	go run ./internal/fabrictest/run -program bin/pyisolate-node bench
//
// demo prints the commands that it runs and what they print: nodes that form a cluster, cells that
// are called and that send to each other from every node, a policy that is put on one node and in
// force on another, and a node that is killed. It fails when something is not as it should be.
//
// demo-migration moves a cell from node to node, twenty times, while clients have it count, tell it words
// and receive what it posts, and kills a node. It fails when a number or a word is lost, doubled or out of order.
//
// bench prints how long what has to be fast takes, beside what it may take; with names of rows, of those. It fails with -strict
// when something takes longer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

var (
	program = flag.String("program", "bin/pyisolate-node", "a built pyisolate-node")
	network = flag.String("network", "", "namespaces or loopback (default: for demo namespaces where that can be, for bench loopback)")
	strict  = flag.Bool("strict", false, "bench: fail when something takes longer than it may")
)

func main() {
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var what func(context.Context, *fabrictest.Fabric) error
	switch flag.Arg(0) {
	case "demo":
		what = demo
	case "demo-migration":
		what = demoMigration
	case "bench":
		what = func(ctx context.Context, f *fabrictest.Fabric) error { return bench(ctx, f, flag.Args()[1:]) }
		if *network == "" {
			*network = fabrictest.Loopback
		}
	default:
		fmt.Fprintln(os.Stderr, "run: say demo, demo-migration or bench")
		os.Exit(2)
	}
	if err := run(ctx, what); err != nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, what func(context.Context, *fabrictest.Fabric) error) (failed error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	path, err := filepath.Abs(*program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fabric")
	if err != nil {
		return err
	}
	f, err := fabrictest.New(fabrictest.Options{Program: path, Dir: dir, Network: *network})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() {
		failed = errors.Join(failed, f.Close())
		if failed != nil {
			fmt.Fprintln(os.Stderr, "run: what the nodes have logged is in", dir)
			return
		}
		failed = os.RemoveAll(dir)
	}()
	return what(ctx, f)
}
