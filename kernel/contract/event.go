package contract

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Hook is a kind of event.
type Hook uint32

// The hooks. Their numbers are those of bpf/event.h.
const (
	// Open of a file.
	Open Hook = 1 + iota
	// Connect to a peer.
	Connect
	// Send a message. One with a peer is judged as a connection, too.
	Send
	// Fork: a thread or process is started.
	Fork
)

var hookNames = [...]string{Open: "open", Connect: "connect", Send: "send", Fork: "fork"}

func (h Hook) String() string {
	if h < Open || h > Fork {
		return fmt.Sprintf("hook %d", uint32(h))
	}
	return hookNames[h]
}

// hooks is a set.
type hooks uint8

// Hooks are all.
var Hooks = []Hook{Open, Connect, Send, Fork}

const allHooks hooks = 1<<Open | 1<<Connect | 1<<Send | 1<<Fork

func hooksOf(h Hook) hooks          { return 1 << h }
func (s hooks) has(h Hook) bool     { return h <= Fork && s&(1<<h) != 0 }
func (s hooks) concern(h Hook) bool { return s.has(h) || s.onlyWithPeer(h) }

// onlyWithPeer: what is judged when connecting is judged when sending to a peer.
func (s hooks) onlyWithPeer(h Hook) bool { return h == Send && s.has(Connect) && !s.has(Send) }

// Access is how a file is opened.
type Access = policy.Access

// The kinds of access, as in package policy.
const (
	Read    = policy.Read
	Write   = policy.Write
	Execute = policy.Execute
)

// MaxPath is how many bytes of a path a contract sees, its ending zero included.
const MaxPath = 256

// Counters are what a cell has done, the event under judgement included. Denied are those
// before it.
type Counters struct {
	Opens, Connects          uint64
	BytesSent, BytesReceived uint64
	CPU                      time.Duration
	Children, Denied         uint64
}

// Event is struct contract_event of bpf/event.h, byte for byte.
type Event struct {
	Hook   Hook
	Access uint32 // a set of kinds of access
	// Family is unix.AF_INET, AF_INET6, or 0 where there is no peer.
	Family, Port, Protocol, _ uint16
	// Address is IPv6; IPv4 is inside of it.
	Address [16]byte
	// Line and Column are written by the program: the assertion that does not hold.
	Line, Column uint32
	Counters     Counters
	// Path ends with a zero.
	Path [MaxPath]byte
}

// EventSize is the least size, in bytes, of the values of a map of events.
const EventSize = int(unsafe.Sizeof(Event{}))

const (
	familyAt = unsafe.Offsetof(Event{}.Family)
	pathAt   = unsafe.Offsetof(Event{}.Path)
)

// OpenEvent is an event of opening path. Of a path that is too long its beginning is kept,
// as hooks do.
func OpenEvent(path string, access Access, after Counters) Event {
	e := Event{Hook: Open, Access: uint32(access), Counters: after}
	copy(e.Path[:MaxPath-1], path)
	return e
}

// PeerEvent is an event of connecting or sending to peer; of sending to a peer that is not
// known, with the zero AddrPort. The protocol is unix.IPPROTO_TCP or another.
func PeerEvent(h Hook, peer netip.AddrPort, protocol uint16, after Counters) Event {
	e := Event{Hook: h, Protocol: protocol, Port: peer.Port(), Counters: after}
	switch a := peer.Addr().Unmap(); {
	case a.Is4():
		e.Family, e.Address = unix.AF_INET, a.As16()
	case a.Is6():
		e.Family, e.Address = unix.AF_INET6, a.As16()
	}
	return e
}

// peer is the address, and invalid if the event has none.
func (e *Event) peer() netip.Addr {
	switch a := netip.AddrFrom16(e.Address); e.Family {
	case unix.AF_INET:
		return netip.AddrFrom4([4]byte(e.Address[12:]))
	case unix.AF_INET6:
		return a
	default:
		return netip.Addr{}
	}
}

// path is up to its zero.
func (e *Event) path() string {
	text, _, _ := bytes.Cut(e.Path[:], []byte{0})
	return string(text)
}

// number reads a field that is a number.
func (e *Event) number(f *field) uint64 {
	at := unsafe.Add(unsafe.Pointer(e), f.offset)
	if f.kind <= kindTime {
		return *(*uint64)(at)
	}
	return uint64(*(*uint16)(at))
}

// value is a field's value as it would be written.
func (e *Event) value(f *field) string {
	switch f.kind {
	case kindAddress:
		return e.peer().String()
	case kindPath:
		return quote(e.path())
	case kindFlag:
		return fmt.Sprint(e.Access&f.mask != 0)
	default:
		return strings.TrimSpace(numberText(f.kind, e.number(f)))
	}
}
