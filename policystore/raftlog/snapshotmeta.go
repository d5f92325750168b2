package raftlog

import (
	"fmt"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// snapshotFormat begins each snapshot's description.
const snapshotFormat = 1

// Bounds of a description.
const (
	maxServers     = 1000
	maxServer      = 1 << 10 // bytes of an id or address
	maxDescription = maxServers * (2*maxServer + 16)
)

// description is what is known of a snapshot beside its content.
type description struct {
	meta raft.SnapshotMeta // without ID, Version and Peers
	hash [32]byte          // SHA-256 of the content
}

func (d description) encode() []byte {
	var w wire.Writer
	w.Byte(snapshotFormat)
	w.Uint(d.meta.Index)
	w.Uint(d.meta.Term)
	w.Uint(d.meta.ConfigurationIndex)
	w.Uint(uint64(d.meta.Size))
	w.Hash(d.hash)
	w.Uint(uint64(len(d.meta.Configuration.Servers)))
	for _, s := range d.meta.Configuration.Servers {
		w.Byte(byte(s.Suffrage))
		w.String(string(s.ID))
		w.String(string(s.Address))
	}
	return w.B
}

func decodeDescription(b []byte) (description, error) {
	r := wire.NewReader(b)
	if format := r.Byte(); r.Err() == nil && format != snapshotFormat {
		return description{}, fmt.Errorf("a snapshot %w: %d", errFormat, format)
	}
	d := description{meta: raft.SnapshotMeta{Version: raft.SnapshotVersionMax, Index: r.Uint(), Term: r.Uint(), ConfigurationIndex: r.Uint(), Size: int64(r.Uint())}}
	d.hash = r.Hash()
	n := r.Uint()
	if n > maxServers {
		return d, fmt.Errorf("%w: %d servers", wire.ErrFormat, n)
	}
	for range n {
		d.meta.Configuration.Servers = append(d.meta.Configuration.Servers, raft.Server{
			Suffrage: raft.ServerSuffrage(r.Byte()), ID: raft.ServerID(r.String(maxServer)), Address: raft.ServerAddress(r.String(maxServer)),
		})
	}
	d.meta.ID = snapshotID(d.meta.Term, d.meta.Index)
	return d, r.Done()
}

// snapshotID is also the file's name, without its suffix. Names sort as snapshots do.
func snapshotID(term, index uint64) string { return fmt.Sprintf("%020d-%020d", term, index) }
