package guard

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
)

// Contracts are programs that judge after a policy has permitted, by the name of the point
// where they are called. They are loaded for it: see [Guard.ContractPoints].
type Contracts map[string]*ebpf.Program

// ErrContract: a contract cannot be had at that point.
var ErrContract = errors.New("guard: no such contract")

// A ContractPoint is where contracts are called, and what they must be loaded as.
type ContractPoint struct {
	// Name is the key in Contracts.
	Name string
	// Event is what happens there: open, connect, send or fork. Packets are judged at "egress",
	// messages at the other points of send.
	Event string
	// Type, AttachType and AttachTo are the program's.
	Type       ebpf.ProgramType
	AttachType ebpf.AttachType
	AttachTo   string
	// Events has the event: the calling thread's, or where it is an array that of the
	// packet's cb[0]. See kernel/contract/bpf/event.h.
	Events *ebpf.Map
	// Refusals is the array that a program which refuses goes on to, at RefusalIndex,
	// so that the event is not charged, and is told. It is the guard's.
	Refusals     *ebpf.Map
	RefusalIndex uint32
}

// point is what is known of a contract's point when programs are built.
type point struct {
	event string
	// bit is its place in limits.contracts: enum hook.
	bit uint
	// array has the contracts; refused is the program behind them.
	array, refused string
	events         string
}

// points by name. Where the kernel is asked by thread number a thread's event has no place.
var points = map[string]point{
	"file_open":      {"open", 1, "contracts_open", "refused_open", "scratches"},
	"socket_connect": {"connect", 7, "contracts_connect", "refused_connect", "scratches"},
	"socket_sendmsg": {"send", 8, "contracts_send", "refused_send", "scratches"},
	"task_alloc":     {"fork", 12, "contracts_fork", "refused_fork", "scratches"},
	"connect4":       {"connect", 17, "contracts_connect4", "refused_connect4", "scratches"},
	"connect6":       {"connect", 18, "contracts_connect6", "refused_connect6", "scratches"},
	"sendmsg4":       {"send", 19, "contracts_send4", "refused_send4", "scratches"},
	"sendmsg6":       {"send", 20, "contracts_send6", "refused_send6", "scratches"},
	"egress":         {"send", 21, "contracts_egress", "refused_egress", "sends"},
}

// point returns what is here under a name.
func (g *Guard) point(name string) (point, *ebpf.ProgramSpec, bool) {
	p, known := points[name]
	spec := g.spec.Programs[p.refused]
	return p, spec, known && spec != nil && (!g.byThread || p.events != "scratches")
}

// ContractPoints returns where this guard calls contracts. Programs of kind LSM judge
// what is opened, reached, sent and started; of the other what is reached. With a control group
// both judge each packet, too.
func (g *Guard) ContractPoints() []ContractPoint {
	var list []ContractPoint
	for name := range points {
		p, spec, here := g.point(name)
		if !here {
			continue
		}
		list = append(list, ContractPoint{Name: name, Event: p.event, Type: spec.Type, AttachType: spec.AttachType, AttachTo: spec.AttachTo,
			Events: g.maps[p.events], Refusals: g.maps[p.array], RefusalIndex: maxSlots})
	}
	return list
}

// setRefusals puts the programs for refusals behind the contracts.
func (g *Guard) setRefusals(c *ebpf.Collection) error {
	for name, p := range c.Programs {
		if !strings.HasPrefix(name, "refused_") {
			continue
		}
		array := "contracts_" + strings.TrimPrefix(name, "refused_")
		if err := g.maps[array].Put(uint32(maxSlots), p); err != nil {
			return fmt.Errorf("guard: put %s behind the contracts: %w", name, err)
		}
	}
	return nil
}

// contractBits are those of limits.contracts.
func (g *Guard) contractBits(contracts Contracts) (uint64, error) {
	var bits uint64
	for name := range contracts {
		p, _, here := g.point(name)
		if !here {
			return 0, fmt.Errorf("%w: programs of kind %s call none at %q on this kernel", ErrContract, g.kind, name)
		}
		bits |= 1 << p.bit
	}
	return bits, nil
}

// setContracts fills a slot's places in all arrays, or empties them.
func (g *Guard) setContracts(slot uint32, contracts Contracts) error {
	for name := range points {
		p, _, here := g.point(name)
		if !here {
			continue
		}
		array := g.maps[p.array]
		if program := contracts[name]; program != nil {
			if err := array.Put(slot, program); err != nil {
				return fmt.Errorf("guard: put a contract at %s (it must be loaded for that point): %w", name, err)
			}
		} else if err := array.Delete(slot); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("guard: take a contract from %s: %w", name, err)
		}
	}
	return nil
}
