// Command embed has a node of its own inside: it opens one, calls it with the Go client as
// others would from outside, and prints what a cell posts.
//
//	go run ./examples/embed
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	pyisolatev1 "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/node"
)

const policy = `
version: 1.0
sandboxes:
  main:
    imports: [math]
`

func main() {
	node.Init() // first of all: cells run in processes that are this program
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "embed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (failed error) {
	dir, err := os.MkdirTemp("", "embed-")
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, os.RemoveAll(dir)) }()
	n, err := node.Open(ctx, node.Config{Data: filepath.Join(dir, "data"), Socket: filepath.Join(dir, "node.sock"), Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, n.Close()) }()
	calls, err := n.Client()
	if err != nil {
		return err
	}
	defer calls.Close()
	if _, err := calls.Policies.Put(ctx, connect.NewRequest(&pyisolatev1.PutRequest{Name: "compute", Text: []byte(policy)})); err != nil {
		return err
	}
	if _, err := calls.Cells.Spawn(ctx, connect.NewRequest(&pyisolatev1.SpawnRequest{Name: "one", Policy: &pyisolatev1.PolicyRef{Name: "compute"}})); err != nil {
		return err
	}
	if _, err := calls.Cells.Exec(ctx, connect.NewRequest(&pyisolatev1.ExecRequest{Name: "one", Code: "from math import sqrt; post(sqrt(2))"})); err != nil {
		return err
	}
	posts, err := calls.Cells.Stream(ctx, connect.NewRequest(&pyisolatev1.StreamRequest{Name: "one", Limit: 1}))
	if err != nil {
		return err
	}
	for posts.Receive() {
		fmt.Fprintln(out, posts.Msg().GetPost().GetJson())
	}
	return errors.Join(posts.Err(), posts.Close())
}
