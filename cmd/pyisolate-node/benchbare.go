package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"github.com/goccy/go-yaml"
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
func bareYAML(_ context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
	text := []byte(manyRules())
	for range n {
		begun := time.Now()
		var tree any
		if err := yaml.Unmarshal(text, &tree); err != nil {
			return nil, err
		}
		samples = append(samples, micros(time.Since(begun))/1000)
	}
	return samples, nil
}

// bareCommit times one transaction of the data base below the policy store, with as much as a version of a policy.
func bareCommit(_ context.Context, _ *bench, n int, _ *benchResult) (samples []float64, err error) {
	s, err := newBenchSocket() // for its directory
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	db, err := bbolt.Open(filepath.Join(s.root, "db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for i := range n {
		begun := time.Now()
		err := db.Update(func(tx *bbolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists([]byte("versions"))
			if err != nil {
				return err
			}
			return b.Put(fmt.Append(nil, i), make([]byte, 256))
		})
		if err != nil {
			return nil, err
		}
		samples = append(samples, micros(time.Since(begun))/1000)
	}
	return samples, nil
}
