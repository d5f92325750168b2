package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/durable"
)

func newPolicyBackup() *cobra.Command {
	return newRemote(&cobra.Command{
		Use:   "backup FILE",
		Short: "Write all policies, the hashes of tokens and the audit log to a file",
		Long: `Write all policies with their history, the hashes of tokens and the audit log, of all
tenants, to a file: all as of one moment, while the node serves. The file replaces an
older one only when it is complete, and only its owner can read it.
` + "`policy recover --backup FILE`" + ` makes a store from it.`,
		Example: "  pyisolate-node policy backup /var/backups/policies",
		Args:    cobra.ExactArgs(1),
	}, func(ctx context.Context, r *remote, args []string) error {
		n, err := r.backup(ctx, args[0])
		if err != nil {
			return err
		}
		r.show(struct {
			File  string `json:"file"`
			Bytes int64  `json:"bytes"`
		}{args[0], n}, "%s: %d bytes", args[0], n)
		return nil
	})
}

// backup has the file replaced when all of it has come.
func (r *remote) backup(ctx context.Context, path string) (n int64, err error) {
	f, err := durable.Create(filepath.Dir(path), 0o600)
	if err != nil {
		return 0, usageError{fmt.Errorf("write the backup: %w", err)}
	}
	if n, err = r.receiveBackup(ctx, f); err != nil {
		return 0, errors.Join(err, f.Discard())
	}
	if err := f.Keep(path); err != nil {
		return 0, fmt.Errorf("write the backup %s: %w", path, err)
	}
	return n, nil
}

func (r *remote) receiveBackup(ctx context.Context, f *durable.File) (n int64, err error) {
	stream, err := r.Policies.Backup(ctx, connect.NewRequest(&pb.BackupRequest{}))
	if err != nil {
		return 0, err
	}
	for stream.Receive() {
		written, err := f.Write(stream.Msg().GetPiece())
		n += int64(written)
		if err != nil {
			return n, errors.Join(fmt.Errorf("write the backup: %w", err), stream.Close())
		}
	}
	return n, errors.Join(stream.Err(), stream.Close())
}
