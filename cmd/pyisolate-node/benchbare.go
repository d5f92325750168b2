package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/goccy/go-yaml/parser"
	"go.etcd.io/bbolt"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// bareEcho answers calls with what they carry: no cell, no node, nothing that asks who calls.
type bareEcho struct {
	api.UnimplementedCellServiceHandler
}

func (bareEcho) Call(_ context.Context, r *connect.Request[pb.CallRequest]) (*connect.Response[pb.CallResponse], error) {
	return connect.NewResponse(&pb.CallResponse{Value: &pb.Value{Kind: &pb.Value_Raw{Raw: r.Msg.GetRaw()}}}), nil
}

// withBareEcho measures what clients of such a service see, in this process and over a socket as a node's are.
func withBareEcho(measure func(s *benchSocket) ([]float64, error)) (out []float64, err error) {
	defer collectSeldom()()
	s, err := newBenchSocket()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	l, err := net.Listen("unix", s.path)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle(api.NewCellServiceHandler(bareEcho{}))
	server := &http.Server{Handler: mux, Protocols: new(http.Protocols), ReadHeaderTimeout: time.Minute}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	defer func() {
		err = errors.Join(err, server.Close())
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}()
	return measure(s)
}

// bareCall times calls of a service that does nothing.
func bareCall(json bool) measurement {
	return func(ctx context.Context, _ *bench, n int, _ *benchResult) ([]float64, error) {
		return withBareEcho(func(s *benchSocket) ([]float64, error) { return timeCalls(ctx, s, json, n) })
	}
}

// bareCalls counts them.
func bareCalls(ctx context.Context, _ *bench, n int, r *benchResult) ([]float64, error) {
	return withBareEcho(func(s *benchSocket) ([]float64, error) {
		out, each, err := countCalls(ctx, s, n)
		r.addNote(fmt.Sprintf("%d us where nothing is called", each.Microseconds()))
		return out, err
	})
}

// bareYAML times what the parser takes for the document of policy.compile.
func bareYAML(_ context.Context, _ *bench, n int, _ *benchResult) ([]float64, error) {
	text := []byte(manyRules())
	return timeMillis(n, func(int) error {
		_, err := parser.ParseBytes(text, 0)
		return err
	})
}

// bareCommit times one transaction of the data base below the policy store, with the text of a version of a policy.
func bareCommit(_ context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
	root, err := os.MkdirTemp("", "pyisolate-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	db, err := bbolt.Open(filepath.Join(root, "db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return timeMillis(n, func(i int) error {
		return db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("versions"))
			if err != nil {
				return err
			}
			return b.Put(fmt.Append(nil, i), []byte(versionText(root, i)))
		})
	})
}

// halved is a peer's script of round trips, of which one way is half.
func halved(script string) measurement {
	return func(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
		samples, err := b.peer(ctx, script, n)
		for i := range samples {
			samples[i] /= 2
		}
		return samples, err
	}
}

// batchedFlood is a peer's flood of so many messages in one.
func batchedFlood(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
	return b.peer(ctx, "flood", n, strconv.Itoa(batchOf))
}
