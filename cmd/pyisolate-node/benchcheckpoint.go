package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/crypto/chacha20poly1305"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/checkpoint"
)

// tenMiB is a program that makes a state of about 10 MiB.
const tenMiB = "state"

// pickled measures what pickle takes for that state: to "dump" it, or to "load" it.
func pickled(what string) measurement {
	return func(ctx context.Context, b *bench, n int, _ *benchResult) ([]float64, error) {
		state, err := peerScript(tenMiB)
		if err != nil {
			return nil, err
		}
		program, err := peerScript("pickle")
		if err != nil {
			return nil, err
		}
		return b.python(ctx, state+program, n, what)
	}
}

// benchCheckpoints opens a node with a cell that has such a state.
func benchCheckpoints(ctx context.Context, n *benchNode) error {
	c := n.cells(false)
	if _, err := c.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Tenant: "bench", Name: "full", Document: "version: \"1.0\"\nsandboxes:\n  main:\n    mem: 1GiB\n"})); err != nil {
		return err
	}
	state, err := peerScript(tenMiB)
	if err == nil {
		_, err = c.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bench", Name: "full", Code: state}))
	}
	return err
}

func (n *benchNode) checkpoint(ctx context.Context) (*pb.CheckpointInfo, error) {
	answer, err := n.cells(false).Checkpoint(ctx, connect.NewRequest(&pb.CheckpointRequest{Tenant: "bench", Name: "full"}))
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetCheckpoint(), nil
}

// checkpointTen times checkpoints from the call to the answer: taken out, sealed, and on the disk.
func checkpointTen(ctx context.Context, n *benchNode, samples int, r *benchResult) (took []float64, err error) {
	if err := benchCheckpoints(ctx, n); err != nil {
		return nil, err
	}
	for range samples + 1 {
		begun := time.Now()
		if _, err := n.checkpoint(ctx); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1e3)
	}
	r.addNote("rows, text, objects and bytes; sealed, and on the disk")
	return took[1:], nil
}

// restoreTen times restores from the call to the answer, with the spawn of the cell.
func restoreTen(ctx context.Context, n *benchNode, samples int, r *benchResult) (took []float64, err error) {
	if err := benchCheckpoints(ctx, n); err != nil {
		return nil, err
	}
	kept, err := n.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	c := n.cells(false)
	for range samples + 1 {
		begun := time.Now()
		if _, err := c.Restore(ctx, connect.NewRequest(&pb.RestoreRequest{Id: kept.GetId(), Name: "again"})); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1e3)
		if _, err := c.Close(ctx, connect.NewRequest(&pb.CloseRequest{Tenant: "bench", Name: "again"})); err != nil {
			return nil, err
		}
	}
	r.addNote("with the spawn of the cell")
	return took[1:], nil
}

// sealedBytes is what is sealed for a sample.
const sealedBytes = 64 << 20

// sealRow measures sealing, or opening, in MB a second of one processor.
func sealRow(opens bool, compression string) measurement {
	return func(_ context.Context, _ *bench, samples int, _ *benchResult) (out []float64, err error) {
		dir, err := os.MkdirTemp("", "pyisolate-bench-")
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
		ring, err := checkpoint.OpenRing(filepath.Join(dir, "keys"), nil)
		if err != nil {
			return nil, err
		}
		plain := bytes.Repeat([]byte("a state of a cell, "), sealedBytes/19)
		seal := func(to io.Writer) error {
			w, err := checkpoint.NewWriter(to, checkpoint.Header{Tenant: "bench", Cell: "c", Epoch: 1, Python: "cpython-314", Created: time.Now(), Compression: compression}, ring)
			if err != nil {
				return err
			}
			if _, err := w.Write(plain); err != nil {
				return err
			}
			return w.Close()
		}
		var file bytes.Buffer
		if err := seal(&file); err != nil {
			return nil, err
		}
		for range samples {
			begun := time.Now()
			if opens {
				err = openAll(file.Bytes(), ring)
			} else {
				err = seal(io.Discard)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, float64(len(plain))/1e6/time.Since(begun).Seconds())
		}
		return out, nil
	}
}

func openAll(file []byte, keys checkpoint.Keys) error {
	r, err := checkpoint.NewReader(bytes.NewReader(file), keys, checkpoint.Expect{})
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}

// bareSeal is the cipher alone, over pieces of the same size.
func bareSeal(opens bool) measurement {
	return func(_ context.Context, _ *bench, samples int, _ *benchResult) ([]float64, error) {
		aead, err := chacha20poly1305.New(make([]byte, chacha20poly1305.KeySize))
		if err != nil {
			return nil, err
		}
		const piece = 256 << 10
		nonce, plain := make([]byte, aead.NonceSize()), make([]byte, piece)
		sealed, to := aead.Seal(nil, nonce, plain, nil), make([]byte, 0, piece+aead.Overhead())
		var out []float64
		for range samples {
			begun := time.Now()
			for range sealedBytes / piece {
				if !opens {
					to = aead.Seal(to[:0], nonce, plain, nil)
				} else if to, err = aead.Open(to[:0], nonce, sealed, nil); err != nil {
					return nil, err
				}
			}
			out = append(out, sealedBytes/1e6/time.Since(begun).Seconds())
		}
		return out, nil
	}
}
