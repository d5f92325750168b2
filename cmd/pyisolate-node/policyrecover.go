package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/policystore"
)

func newPolicyRecover() *cobra.Command {
	var backup, node string
	c := &cobra.Command{
		Use:   "recover DIRECTORY",
		Short: "Rebuild a policy store's log from its state or a backup",
		Long: `Rebuild a policy store's log from its state or a backup.

This is for a store whose raft.db or snapshots are damaged or lost. No node may have
the store open. Move those files away; then this command recovers what state.db has,
which is everything that was acknowledged. With --backup, move state.db away, too.
Nothing is overwritten. docs/policystore.md says when to do this.`,
		Example: `  pyisolate-node policy recover /var/lib/pyisolate/policies`,
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().StringVar(&backup, "backup", "", "the backup to recover from, instead of state.db")
	c.Flags().StringVar(&node, "node", "", "the id of the node, if it was not the default")
	return newLocal(c, func(_ context.Context, r *remote, args []string) error {
		if _, err := os.Stat(args[0]); err != nil && backup == "" {
			return usageError{fmt.Errorf("recover the policy store: %w", err)}
		}
		err := recoverPolicies(args[0], node, backup)
		if errors.Is(err, policystore.ErrInvalid) || errors.Is(err, policystore.ErrInUse) {
			err = usageError{err}
		}
		if err != nil {
			return err
		}
		r.show(map[string]any{"recovered": args[0]}, "%s: recovered", plain(args[0]))
		return nil
	})
}

func recoverPolicies(dir, node, backup string) error {
	c := policystore.Config{Dir: dir, NodeID: node}
	if backup == "" {
		return policystore.Recover(c, nil)
	}
	f, err := os.Open(backup)
	if err != nil {
		return usageError{fmt.Errorf("read the backup: %w", err)}
	}
	defer func() { _ = f.Close() }() // only read
	return policystore.Recover(c, f)
}
