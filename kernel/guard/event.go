package guard

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// EventKind is what happened. The numbers are those of bpf/maps.h.
type EventKind uint16

// The kinds of events.
const (
	// Denied by the policy's rules, or by what is refused whatever the policy.
	Denied EventKind = 1 + iota
	// OverQuota: a quota was passed. It is told once for each policy that is published.
	OverQuota
	// Broken: a contract does not hold.
	Broken
	// Orphan: what a bound thread started could not be bound, and was killed.
	Orphan
)

var eventKinds = [...]string{Denied: "denied", OverQuota: "over quota", Broken: "broken contract", Orphan: "orphan"}

func (k EventKind) String() string {
	if k < Denied || k > Orphan {
		return fmt.Sprintf("event %d", uint16(k))
	}
	return eventKinds[k]
}

// hooks are enum hook of bpf/maps.h, as far as events have them.
var hooks = [...]string{1: "open", "execute", "look", "change", "map", "socket", "connect", "send", "serve", "unix", "receive",
	"fork", "signal", "trace", "cpu", "other"}

// quotas are enum quota of bpf/maps.h.
var quotas = [...]string{1: "opens", "connects", "sent", "received", "cpu_total"}

// Event is something that the node is told of a cell.
type Event struct {
	// Time is by CLOCK_MONOTONIC.
	Time time.Duration
	// Cell is the number of the cell and Life that cell's [Cell.Life]: numbers are used
	// again, so an event may be of one that is no more. Thread is the thread's number, 0
	// for a packet.
	Cell, Life, Thread uint32
	Kind               EventKind
	// Hook is what was tried: open, execute, look, change, map, socket, connect, send,
	// serve, unix, receive, fork, signal, trace, cpu or other.
	Hook string
	// Access is what was wanted of Path, of Denied ones.
	Access policy.Access
	// Quota is which one was passed, by its name in JSON, of OverQuota.
	Quota string
	// Line and Column are where in a contract the assertion is, of Broken ones.
	Line, Column int
	// Peer is the address that was to be reached, if it is about one.
	Peer netip.AddrPort
	// Path is what the access is to, if it is about one; cut off behind 127 bytes.
	Path string
	// Reason is why, of Denied ones that no rule decides.
	Reason string
}

// rawEvent is struct event.
type rawEvent struct {
	Time         uint64
	Cell, Thread uint32
	Kind, Hook   uint16
	Value        uint32
	Family, Port uint16
	Life         uint32
	Address      [16]byte
	Path         [128]byte
}

// errEvent: what the ring has is not an event.
var errEvent = errors.New("guard: not an event")

// decode reads an event as the programs write it.
func decode(data []byte) (Event, error) {
	var raw rawEvent
	if _, err := binary.Decode(data, binary.NativeEndian, &raw); err != nil {
		return Event{}, fmt.Errorf("%w: %d bytes", errEvent, len(data))
	}
	e := Event{Time: time.Duration(raw.Time), Cell: raw.Cell, Life: raw.Life, Thread: raw.Thread, Kind: EventKind(raw.Kind)}
	if e.Kind < Denied || e.Kind > Orphan || raw.Hook == 0 || int(raw.Hook) >= len(hooks) || raw.Cell >= maxCells {
		return Event{}, fmt.Errorf("%w: kind %d, hook %d, cell %d", errEvent, raw.Kind, raw.Hook, raw.Cell)
	}
	e.Hook = hooks[raw.Hook]
	path, _, _ := bytes.Cut(raw.Path[:], []byte{0})
	e.Path = string(path)
	switch e.Kind {
	case Denied:
		e.Access = policy.Access(raw.Value) & (policy.Read | policy.Write | policy.Execute)
	case OverQuota:
		if raw.Value == 0 || raw.Value >= uint32(len(quotas)) {
			return Event{}, fmt.Errorf("%w: quota %d", errEvent, raw.Value)
		}
		e.Quota = quotas[raw.Value]
	case Broken:
		e.Line, e.Column = int(raw.Value>>16), int(raw.Value&0xffff)
	}
	switch raw.Family {
	case unix.AF_INET:
		e.Peer = netip.AddrPortFrom(netip.AddrFrom4([4]byte(raw.Address[:4])), raw.Port)
	case unix.AF_INET6:
		e.Peer = netip.AddrPortFrom(netip.AddrFrom16(raw.Address), raw.Port)
	}
	return e, nil
}
