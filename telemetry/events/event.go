package events

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/cell"
)

// Kind is what happened. Kinds are part of the API; some may be added.
type Kind string

// The kinds.
const (
	CellStarted      Kind = "CELL_STARTED"
	CellEnded        Kind = "CELL_ENDED"        // by itself, or because somebody ended it
	CellCrashed      Kind = "CELL_CRASHED"      // its host died, or it broke
	CellRestarted    Kind = "CELL_RESTARTED"    // it ended, and is started again after a pause
	CellQuarantined  Kind = "CELL_QUARANTINED"  // it ended too often, or somebody stopped it
	CellCheckpointed Kind = "CELL_CHECKPOINTED" // its state is kept; it goes on
	CellRestored     Kind = "CELL_RESTORED"     // it has the state of a checkpoint
	CheckpointFailed Kind = "CHECKPOINT_FAILED" // its state could not be kept, or restored
	CellMigrated     Kind = "CELL_MIGRATED"     // it goes on on another node
	MigrationFailed  Kind = "MIGRATION_FAILED"  // it could not be moved
	MemKill          Kind = "MEM_KILL"          // an operation was ended by the limit of memory
	CPUKill          Kind = "CPU_KILL"          // by that of processor time in the cell's life
	WallKill         Kind = "WALL_KILL"         // by that of wall time, or by its deadline
	OutputKill       Kind = "OUTPUT_KILL"       // by that of output
	CPUThrottle      Kind = "CPU_THROTTLE"      // by that of processor time in a window
	Denied           Kind = "DENIED"            // a guest tried what its policy does not permit
	PolicyPut        Kind = "POLICY_PUT"        // there is a new version of a policy, or a deletion
	PolicyHotload    Kind = "POLICY_HOTLOAD"    // a version is in force in a running cell
	PolicyRefused    Kind = "POLICY_REFUSED"    // a running cell keeps what it had
	BrokerError      Kind = "BROKER_ERROR"      // a capability failed by a fault of the node's
	HostStarted      Kind = "HOST_STARTED"
	HostEnded        Kind = "HOST_ENDED"
	NodeReady        Kind = "NODE_READY"
	NodeDraining     Kind = "NODE_DRAINING"
)

// What a stream of several nodes' events says of itself. No hub has such events.
const (
	NodeSilent Kind = "NODE_SILENT" // a node does not answer: its events are missing
	NodeBack   Kind = "NODE_BACK"   // it answers again, and they come
)

var kinds = []Kind{CellStarted, CellEnded, CellCrashed, CellRestarted, CellQuarantined,
	CellCheckpointed, CellRestored, CheckpointFailed, CellMigrated, MigrationFailed, MemKill, CPUKill, WallKill,
	OutputKill, CPUThrottle, Denied, PolicyPut, PolicyHotload, PolicyRefused, BrokerError, HostStarted, HostEnded, NodeReady, NodeDraining}

// Kinds lists all.
func Kinds() []Kind { return slices.Clone(kinds) }

// Valid reports whether k is one of them.
func (k Kind) Valid() bool { return slices.Contains(kinds, k) }

// cheap reports whether a guest, or who spawns and calls cells, brings it about as often as he
// likes.
func (k Kind) cheap() bool {
	switch k {
	case Denied, BrokerError, MemKill, CPUKill, WallKill, OutputKill, CPUThrottle,
		CellStarted, CellEnded, CellCrashed, CellRestarted, CellQuarantined, CellCheckpointed, CellRestored, CheckpointFailed, CellMigrated, MigrationFailed, HostStarted, HostEnded:
		return true
	}
	return false
}

// Bounds of texts, in bytes.
const (
	MaxMessage = 1 << 10
	maxField   = 512 // of each text of a denial
	maxName    = 256 // of names, which others have bounded already
)

// Event is something that happened.
type Event struct {
	// Index ascends from 1 in the hub's life. Publish sets it.
	Index uint64
	Kind  Kind
	// At is set by Publish where it is zero.
	At time.Time
	// Tenant and Cell are empty where it is about none; Epoch is the cell's incarnation, 0 where
	// it is not known.
	Tenant, Cell string
	Epoch        uint64
	// Message is for people.
	Message string
	// Denial is that of Denied, to be read only.
	Denial *cell.Denial
	// Policy and Version are of the kinds about policies.
	Policy  string
	Version uint64
	// Trace is a trace's id, in hexadecimal; empty: none.
	Trace string
}

// bounded is the event as it is kept.
func (e Event) bounded() Event {
	e.Message = Text(e.Message, MaxMessage)
	for _, s := range []*string{&e.Tenant, &e.Cell, &e.Policy, &e.Trace} {
		*s = Text(*s, maxName)
	}
	if e.Denial != nil {
		d := *e.Denial
		for _, s := range []*string{&d.Cell, &d.Capability, &d.Action, &d.Rule, &d.Kernel, &d.Broker} {
			*s = Text(*s, maxField)
		}
		e.Denial = &d
	}
	return e
}

// Text makes of what may be a guest's words one line of valid UTF-8 of at most the given bytes
// (at least 4). What is no printable character is "·", and what was cut ends in "…".
func Text(s string, most int) string {
	if len(s) <= most && clean(s) {
		return s
	}
	const mark = "…"
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\r':
			return ' '
		case r == utf8.RuneError, !unicode.IsPrint(r):
			return '·'
		}
		return r
	}, s)
	if cut || len(s) > most { // what replaced a byte has two
		end := min(len(s), most-len(mark))
		for end > 0 && !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + mark
	}
	return s
}

func clean(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
		}
	}
	return true
}
