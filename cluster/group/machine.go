package group

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/cluster/directory"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/failpoint"
)

// appliedPoint is reached by each entry, at each node, before anybody is told.
var appliedPoint = failpoint.New("group.applied")

// machine is what the log makes: the directory of cells and the roster of nodes. Raft calls Apply,
// Snapshot and Restore; the other methods may be called from any goroutine, and tell what this
// node has applied.
type machine struct {
	mu        sync.RWMutex
	directory directory.State
	roster    roster.State
	applied   uint64 // the index of the last command
	failure   error

	// told is called after each entry, in their order.
	told func(change)
}

// change is what an entry, or a snapshot, has changed.
type change struct {
	records  []directory.Record // those that are gone have the epoch 0
	roster   bool
	sessions bool
}

var _ raft.FSM = (*machine)(nil)

// Entries begin with a byte that says whose they are.
const (
	ofDirectory = 'd'
	ofRoster    = 'r'
)

// outcome is what Raft returns for an entry.
type outcome struct {
	Directory directory.Outcome `json:"directory,omitzero"`
	Roster    roster.Outcome    `json:"roster,omitzero"`
	err       error
}

// Apply implements raft.FSM. After an entry that this version cannot read nothing is applied any
// more: the state would differ from the others'.
func (m *machine) Apply(entry *raft.Log) any {
	m.mu.Lock()
	out, changed := m.apply(entry)
	m.mu.Unlock()
	appliedPoint.Hit()
	m.told(changed)
	return out
}

// apply does it, under mu. What becomes of an entry that is not applied here, others know.
func (m *machine) apply(entry *raft.Log) (out outcome, changed change) {
	if m.failure != nil {
		return outcome{err: unapplied(m.failure)}, changed
	}
	d, r, err := decode(entry.Data)
	switch {
	case err != nil:
		m.failure = fmt.Errorf("entry %d of the cluster's log: %w", entry.Index, err)
		return outcome{err: unapplied(m.failure)}, changed
	case d != nil:
		out.Directory, out.err = m.directory.Apply(entry.Index, *d)
		changed.records = changesOf(*d, out)
		changed.sessions = out.err == nil && (d.Op == directory.Open || d.Op == directory.End)
	default:
		out.Roster, out.err = m.roster.Apply(*r)
		changed.roster = out.err == nil
	}
	m.applied = entry.Index
	return out, changed
}

// unapplied is the outcome of what was agreed. It must not be one of the errors that failure is, by which nothing
// would have been done.
func unapplied(failure error) error {
	return fmt.Errorf("%w: this node applies nothing any more: %s", ErrUncertain, failure.Error())
}

// decode reads an entry. One of the results is not nil.
func decode(entry []byte) (*directory.Command, *roster.Command, error) {
	if len(entry) == 0 {
		return nil, nil, errors.New("it is empty")
	}
	switch body := entry[1:]; entry[0] {
	case ofDirectory:
		c, err := directory.Decode(body)
		return &c, nil, err
	case ofRoster:
		c, err := roster.Decode(body)
		return nil, &c, err
	}
	return nil, nil, fmt.Errorf("it is of kind %q, which this version does not know; does another node run a newer one?", entry[0])
}

// changesOf are the records that a command has changed.
func changesOf(c directory.Command, out outcome) []directory.Record {
	switch {
	case out.err != nil:
		return nil
	case c.Op == directory.Release:
		return []directory.Record{{Cell: c.Cell}}
	case out.Directory.Record.Epoch != 0:
		return []directory.Record{out.Directory.Record}
	}
	return out.Directory.Moved
}

// read calls a function that looks at the state.
func (m *machine) read(look func(*directory.State, *roster.State)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	look(&m.directory, &m.roster)
}

// at is the index of the last command.
func (m *machine) at() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.applied
}

// failed is why nothing is applied any more, or nil. A node with a failure must not run cells: it
// would not learn that they are others'.
func (m *machine) failed() error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.failure
}

// ---- snapshots ----------------------------------------------------------------------------------

// head is the first line of a snapshot. The roster's line follows, then the directory's.
type head struct {
	Version int    `json:"pyisolate_cluster"`
	Applied uint64 `json:"applied"`
}

const snapshotVersion = 1

// maxLine bounds the first two lines, in bytes.
const maxLine = 4 << 20

// snapshot is a copy of the state.
type snapshot struct {
	applied   uint64
	directory *directory.State
	roster    *roster.State
}

// Snapshot implements raft.FSM.
func (m *machine) Snapshot() (raft.FSMSnapshot, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.failure != nil {
		return nil, m.failure // the log must keep what is not applied
	}
	return &snapshot{m.applied, m.directory.Copy(), m.roster.Copy()}, nil
}

// Persist implements raft.FSMSnapshot.
func (s *snapshot) Persist(sink raft.SnapshotSink) error {
	if err := s.write(sink); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (s *snapshot) write(to io.Writer) error {
	first, err := json.Marshal(head{snapshotVersion, s.applied})
	if err != nil {
		return err
	}
	second, err := s.roster.Encode()
	if err == nil && len(second) > maxLine { // the log, which can be read, has to stay
		err = fmt.Errorf("the roster has %d bytes, a snapshot %d at most: withdraw invitations", len(second), maxLine)
	}
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(to, "%s\n%s\n", first, second); err != nil {
		return err
	}
	_, err = s.directory.WriteTo(to)
	return err
}

// Release implements raft.FSMSnapshot.
func (s *snapshot) Release() {}

// Restore implements raft.FSM.
func (m *machine) Restore(from io.ReadCloser) error {
	defer func() { _ = from.Close() }()
	var next machine
	if err := next.load(from); err != nil {
		return fmt.Errorf("snapshot of the cluster's log: %w", err)
	}
	m.mu.Lock()
	before := m.directory.Records("")
	m.directory, m.roster, m.applied, m.failure = next.directory, next.roster, next.applied, nil
	now := m.directory.Records("")
	m.mu.Unlock()
	m.told(change{difference(before, now), true, true})
	return nil
}

func (m *machine) load(from io.Reader) error {
	first, rest, err := line(from, nil)
	if err != nil {
		return err
	}
	var h head
	if err := json.Unmarshal(first, &h); err != nil {
		return err
	}
	if h.Version != snapshotVersion {
		return fmt.Errorf("it has format %d, this version knows %d: run a newer one", h.Version, snapshotVersion)
	}
	second, rest, err := line(from, rest)
	if err != nil {
		return err
	}
	if err := m.roster.Read(second); err != nil {
		return err
	}
	m.applied = h.Applied
	return m.directory.Read(io.MultiReader(bytes.NewReader(rest), from))
}

// line reads up to a newline, given what was read before; rest is what was read beyond it.
func line(from io.Reader, have []byte) (text, rest []byte, err error) {
	for {
		if text, rest, ok := bytes.Cut(have, []byte("\n")); ok {
			return text, rest, nil
		}
		if len(have) > maxLine {
			return nil, nil, fmt.Errorf("a line has more than %d bytes", maxLine)
		}
		more := make([]byte, 64<<10)
		n, err := from.Read(more)
		have = append(have, more[:n]...)
		if err != nil && n == 0 {
			return nil, nil, fmt.Errorf("it ends early: %w", err)
		}
	}
}

// difference is now, and what is not there any more.
func difference(before, now []directory.Record) []directory.Record {
	there := make(map[directory.Cell]bool, len(now))
	for _, r := range now {
		there[r.Cell] = true
	}
	for _, r := range before {
		if !there[r.Cell] {
			now = append(now, directory.Record{Cell: r.Cell})
		}
	}
	return now
}
