package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/durable"
)

func newCheckpointsExport() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use:   "export ID FILE",
		Short: "Write a checkpoint to a file",
		Long: `Write a checkpoint to a file: as the node has it, for a node with the same keys, or with --to
sealed to a key, so that only the key's identity can open it.`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeCheckpoints,
	}
	c.Flags().StringVar(&to, "to", "", "the key to seal it to, as checkpoints key prints it")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		id, err := r.checkpointID(ctx, args[0])
		if err != nil {
			return err
		}
		stream, err := r.Cells.ExportCheckpoint(ctx, connect.NewRequest(&pb.ExportCheckpointRequest{Id: id, Recipient: to}))
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		var size int64
		err = writeWhole(args[1], func(out io.Writer) error {
			for stream.Receive() {
				n, err := out.Write(stream.Msg().GetData())
				if size += int64(n); err != nil {
					return err
				}
			}
			return stream.Err()
		})
		if err != nil {
			return err
		}
		r.show(struct {
			ID        string `json:"id"`
			File      string `json:"file"`
			Bytes     int64  `json:"bytes"`
			Recipient string `json:"recipient,omitempty"`
		}{id, args[1], size, to}, "%s: %d bytes", plain(args[1]), size)
		return nil
	})
}

// writeWhole writes a file that is there whole, or not.
func writeWhole(path string, content func(io.Writer) error) error {
	f, err := durable.Create(filepath.Dir(path), 0o600)
	if err != nil {
		return usageError{fmt.Errorf("write %s: %w", path, err)}
	}
	out := bufio.NewWriter(f)
	err = content(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.Keep(path)
}

func newCheckpointsImport() *cobra.Command {
	var identity string
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "Import a checkpoint from a file, and print its id",
		Long: `Import a checkpoint from a file, which the node then keeps: one that its own keys open, or with
--identity one that was sealed to a key. The latter is for admins, because anybody who knows
the key can seal anything to it.`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&identity, "identity", "", "the identity that opens the checkpoint, a file made by checkpoints key")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		f, err := os.Open(args[0])
		if err != nil {
			return usageError{err}
		}
		defer func() { _ = f.Close() }()
		first := &pb.ImportCheckpointRequest{}
		if identity != "" {
			secret, err := os.ReadFile(identity)
			if err != nil {
				return usageError{err}
			}
			first.Identity = strings.TrimSpace(string(secret))
		}
		info, err := r.importCheckpoint(ctx, first, f)
		if err != nil {
			return err
		}
		r.show(checkpointJSONOf(info), "%s", info.GetId())
		return nil
	})
}

func (r *remote) importCheckpoint(ctx context.Context, next *pb.ImportCheckpointRequest, f io.Reader) (*pb.CheckpointInfo, error) {
	stream := r.Cells.ImportCheckpoint(ctx)
	piece := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(f, piece)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		next.Data = piece[:n]
		if stream.Send(next) != nil || err != nil { // why it could not be sent comes with the answer
			break
		}
		next = &pb.ImportCheckpointRequest{}
	}
	answer, err := stream.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return answer.Msg.GetCheckpoint(), nil
}

func newCheckpointsKey() *cobra.Command {
	return newLocal(&cobra.Command{
		Use:   "key FILE",
		Short: "Create an identity, and print its key",
		Long: `Create an identity in a file that only its owner can read, and print its key. Only this file
opens what is exported to that key. If the file already exists, the command prints its key.`,
		Args: cobra.ExactArgs(1),
	}, func(_ context.Context, r *remote, args []string) error {
		identity, err := identityIn(args[0])
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", args[0], err)}
		}
		key := identity.Recipient().Text()
		r.show(struct {
			Recipient string `json:"recipient"`
			File      string `json:"file"`
		}{key, args[0]}, "%s", key)
		return nil
	})
}

func identityIn(path string) (*checkpoint.Identity, error) {
	identity, err := readIdentity(path)
	if !errors.Is(err, os.ErrNotExist) {
		return identity, err
	}
	identity, err = checkpoint.NewIdentity()
	if err != nil {
		return nil, err
	}
	secret, err := identity.Text()
	if err != nil {
		return nil, err
	}
	err = writeNew(path, secret+"\n")
	if errors.Is(err, os.ErrExist) { // somebody was faster
		return readIdentity(path)
	}
	return identity, err
}

func readIdentity(path string) (*checkpoint.Identity, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return checkpoint.ParseIdentity(strings.TrimSpace(string(text)))
}

func writeNew(path, text string) error {
	f, err := durable.Create(filepath.Dir(path), 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(text); err != nil {
		return errors.Join(err, f.Discard())
	}
	return f.KeepNew(path)
}
