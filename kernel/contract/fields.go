package contract

import (
	"math"
	"unsafe"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// kind is the type of a field and of what it is compared with.
type kind uint8

const (
	kindCount kind = iota
	kindBytes
	kindTime
	kindPort
	kindProtocol
	kindFamily
	kindAddress
	kindPath
	kindFlag
)

var kindNames = [...]string{"count", "size", "time", "port", "protocol", "family", "address", "path", "flag"}

func (k kind) String() string { return kindNames[k] }

// one is the name with its article.
func (k kind) one() string {
	if k == kindAddress {
		return "an " + k.String()
	}
	return "a " + k.String()
}

// ordered kinds have < and ranges.
func (k kind) ordered() bool { return k <= kindPort }

// last is the largest value of a kind that is a number.
func (k kind) last() uint64 {
	if k <= kindTime {
		return math.MaxUint64
	}
	return math.MaxUint16
}

// unit is a suffix of numbers.
type unit struct {
	name string
	size uint64
}

// units of each kind, the largest first.
var units = map[kind][]unit{
	kindBytes: {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}},
	kindTime:  {{"h", 3600e9}, {"min", 60e9}, {"s", 1e9}, {"ms", 1e6}, {"us", 1e3}, {"ns", 1}},
}

// enumerations are the names that values of a kind have. Their numbers are not adjacent.
var enumerations = map[kind]map[string]uint64{
	kindProtocol: {"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP},
	kindFamily:   {"ipv4": unix.AF_INET, "ipv6": unix.AF_INET6},
}

// field is something of an event that can be asked about.
type field struct {
	name string
	kind kind
	// hook is whose events have it; none for counters, which all have.
	hook Hook
	// moves are the hooks that are asked when only counters are spoken of.
	moves hooks
	// offset and size say where in the event it is; mask is that of a flag.
	offset uintptr
	size   asm.Size
	mask   uint32
}

const countersAt = unsafe.Offsetof(Event{}.Counters)

func counter(name string, k kind, offset uintptr, moves hooks) *field {
	return &field{name: name, kind: k, moves: moves, offset: countersAt + offset, size: asm.DWord}
}

func flag(name string, mask Access) *field {
	return &field{name: name, kind: kindFlag, hook: Open, offset: unsafe.Offsetof(Event{}.Access), size: asm.Word, mask: uint32(mask)}
}

// fields are all there are, in the order of the documentation. What moves between events
// is asked about at all of them.
var fields = []*field{
	counter("opens", kindCount, unsafe.Offsetof(Counters{}.Opens), hooksOf(Open)),
	counter("connects", kindCount, unsafe.Offsetof(Counters{}.Connects), hooksOf(Connect)),
	counter("bytes_sent", kindBytes, unsafe.Offsetof(Counters{}.BytesSent), hooksOf(Send)),
	counter("bytes_received", kindBytes, unsafe.Offsetof(Counters{}.BytesReceived), allHooks),
	counter("cpu", kindTime, unsafe.Offsetof(Counters{}.CPU), allHooks),
	counter("children", kindCount, unsafe.Offsetof(Counters{}.Children), hooksOf(Fork)),
	counter("denied", kindCount, unsafe.Offsetof(Counters{}.Denied), allHooks),
	{name: "connect.address", kind: kindAddress, hook: Connect, offset: unsafe.Offsetof(Event{}.Address)},
	{name: "connect.port", kind: kindPort, hook: Connect, offset: unsafe.Offsetof(Event{}.Port), size: asm.Half},
	{name: "connect.protocol", kind: kindProtocol, hook: Connect, offset: unsafe.Offsetof(Event{}.Protocol), size: asm.Half},
	{name: "connect.family", kind: kindFamily, hook: Connect, offset: familyAt, size: asm.Half},
	{name: "open.path", kind: kindPath, hook: Open, offset: pathAt},
	flag("open.read", Read),
	flag("open.write", Write),
	flag("open.execute", Execute),
}

func fieldNamed(name string) *field {
	for _, f := range fields {
		if f.name == name {
			return f
		}
	}
	return nil
}

func fieldNames() []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}
