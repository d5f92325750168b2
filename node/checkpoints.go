package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore/document"
)

const (
	// ringFile has the keys of checkpoints, and archiveDir the checkpoints.
	ringFile   = "checkpoints.keys"
	archiveDir = "checkpoints"
	// saveWithin is how long the cells that are to be checkpointed before the node ends may take.
	saveWithin = 10 * time.Second
	// pruneEvery is how often checkpoints are looked for that are too old, and what of other nodes'
	// arrives no more; learnEvery how often a node that starts asks what the cluster needs.
	pruneEvery, learnEvery = time.Minute, time.Second
)

// openCheckpoints opens the node's checkpoints, and the keys to them: they are made when there are
// none.
func (n *Node) openCheckpoints(context.Context) error {
	secret, err := n.config.checkpointSecret()
	if err != nil {
		return err
	}
	ring, err := checkpoint.OpenRing(filepath.Join(n.config.Data, ringFile), secret)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	archive, err := checkpoint.OpenArchive(filepath.Join(n.config.Data, archiveDir), ring, n.config.checkpointBounds())
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	if n.fabric != nil {
		archive.Pin(n.countsOn)
	}
	n.checkpoints = &server.Checkpoints{Archive: archive,
		Default: document.Checkpoint{Every: n.config.CheckpointEvery, BeforeDrain: n.config.CheckpointDrain, Replicas: n.config.CheckpointReplicas},
		Python:  func() string { abi, _ := n.abi.Load().(string); return abi }}
	var ctx context.Context
	ctx, n.pruning = context.WithCancel(context.Background())
	n.serving.Go(func() { n.prune(ctx) })
	return nil
}

// countsOn says whether the cluster takes this node to have a checkpoint: it is not removed then. Until the node
// has heard what the cluster agreed while it was away, that may be any.
func (n *Node) countsOn(i checkpoint.Info) bool {
	if !n.learned.Load() {
		return true
	}
	p, known := n.fabric.Find(actors.Address{Tenant: i.Header.Tenant, Name: i.Header.Cell})
	return known && p.Needs(n.fabric.Self(), i.ID)
}

// learn waits until the node knows which checkpoints the cluster needs; false: ctx ended before.
func (n *Node) learn(ctx context.Context) bool {
	if n.fabric == nil {
		return true
	}
	for n.fabric.Refresh(ctx) != nil {
		if !pause.For(ctx, learnEvery) {
			return false
		}
	}
	n.learned.Store(true)
	return true
}

// prune removes what the archive keeps no longer, until ctx ends.
func (n *Node) prune(ctx context.Context) {
	for on := n.learn(ctx); on; on = pause.For(ctx, pruneEvery) {
		if err := n.checkpoints.Archive.Prune(); err != nil {
			n.logger.Warn("old checkpoints could not be removed", slog.Any("error", err))
		}
	}
}

func (n *Node) stopPruning() {
	if n.pruning != nil {
		n.pruning()
	}
}

// save checkpoints the cells that are to be before the node ends, when nothing is under way.
func (n *Node) save() {
	ctx, cancel := context.WithTimeout(context.Background(), saveWithin)
	defer cancel()
	if saved, failed := n.server.Save(ctx); saved+failed > 0 {
		n.logger.Info("cells were checkpointed before the node ends", slog.Int("saved", saved), slog.Int("failed", failed))
	}
}

// pythonABI is the cache tag of a Python, which states name.
func pythonABI(d pydist.Dist) string { return fmt.Sprintf("cpython-%d%d", d.Major, d.Minor) }

// checkpointSecret is nil where there is none.
func (c Config) checkpointSecret() ([]byte, error) {
	if c.CheckpointSecret == "" {
		return nil, nil
	}
	secret, err := os.ReadFile(c.CheckpointSecret)
	if err == nil && len(secret) == 0 {
		err = errors.New("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf("node: checkpoint-secret: %w", err)
	}
	return secret, nil
}

func (c Config) checkpointBounds() checkpoint.Bounds {
	return checkpoint.Bounds{Bytes: max(c.CheckpointBytes, 0), TenantBytes: max(c.CheckpointTenantBytes, 0), TenantCount: max(c.CheckpointTenantCount, 0),
		Keep: max(c.CheckpointKeep, 0), Age: c.CheckpointAge}
}

func (c Config) checkCheckpoints(found *problems) {
	if c.CheckpointEvery != 0 && c.CheckpointEvery < MinCheckpointEvery {
		found.add("checkpoint-every", c.CheckpointEvery.String()+" is too short", "write "+MinCheckpointEvery.String()+" or more")
	}
	if c.CheckpointReplicas < 0 || c.CheckpointReplicas > document.MaxReplicas {
		found.add("checkpoint-replicas", fmt.Sprintf("%d is no number of nodes", c.CheckpointReplicas), fmt.Sprintf("write 0 to %d", document.MaxReplicas))
	}
	if c.CheckpointAge < 0 {
		found.add("checkpoint-age", c.CheckpointAge.String()+" is negative", "write a time, as 168h")
	}
	if c.CheckpointSecret == "" {
		return
	}
	info, err := os.Stat(c.CheckpointSecret)
	switch {
	case err != nil:
		found.add("checkpoint-secret", err.Error(), "write the path of a file with at least 16 bytes")
	case info.Size() < 16:
		found.add("checkpoint-secret", fmt.Sprintf("%s has %d bytes", c.CheckpointSecret, info.Size()), "16 is the least")
	case info.Mode()&0o077 != 0:
		found.add("checkpoint-secret", c.CheckpointSecret+" is readable to others", "chmod 0600 "+c.CheckpointSecret)
	}
}
