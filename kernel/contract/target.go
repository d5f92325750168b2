package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Target is the hook's program that tail-calls a contract's: they must be of one type.
type Target struct {
	Type       ebpf.ProgramType
	AttachType ebpf.AttachType
	// AttachTo is the LSM's hook, such as "file_open".
	AttachTo string
	// Events is where the hook puts events, as bpf/event.h says: of type TaskStorage; or,
	// for programs with a struct __sk_buff, Array.
	Events *ebpf.Map
	// Refusals, if given, is a program array, and RefusalIndex the index in it of the
	// program that is tail-called when an assertion does not hold.
	Refusals     *ebpf.Map
	RefusalIndex uint32
}

// LSM is the target of a hook of the LSM. Refused is EACCES.
func LSM(hook string, events *ebpf.Map) Target {
	return Target{Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: hook, Events: events}
}

// SockAddr is the target of a control group's hook with an address, such as
// [ebpf.AttachCGroupInet4Connect].
func SockAddr(attach ebpf.AttachType, events *ebpf.Map) Target {
	return Target{Type: ebpf.CGroupSockAddr, AttachType: attach, Events: events}
}

// ErrTarget is wrapped by errors of a target that cannot work, here or anywhere. Task
// storage is for the LSM on every kernel; for control groups Linux 6.18 has it and 6.12 has
// not.
var ErrTarget = errors.New("contract: target")

// packets are the types of programs whose context is a struct __sk_buff.
var packets = []ebpf.ProgramType{ebpf.SocketFilter, ebpf.SchedCLS, ebpf.CGroupSKB}

// verdict is what a program of a type returns to permit and to refuse.
func (t Target) verdict() (permit, refuse int32, err error) {
	switch t.Type {
	case ebpf.LSM:
		return 0, -int32(unix.EACCES), nil
	case ebpf.CGroupSockAddr, ebpf.CGroupSKB, ebpf.CGroupSock, ebpf.SocketFilter, ebpf.SchedCLS:
		return 1, 0, nil
	default:
		return 0, 0, fmt.Errorf("%w: programs of type %s judge nothing", ErrTarget, t.Type)
	}
}

func (t Target) validate() error {
	if _, _, err := t.verdict(); err != nil {
		return err
	}
	wanted, why := ebpf.TaskStorage, "each thread has its own event"
	if slices.Contains(packets, t.Type) {
		wanted, why = ebpf.Array, "a packet's thread is anybody's"
	}
	switch {
	case t.Events == nil:
		return fmt.Errorf("%w: there is no map of events", ErrTarget)
	case t.Events.Type() != wanted:
		return fmt.Errorf("%w: the map of events is a %s; for programs of type %s it must be a %s, since %s", ErrTarget, t.Events.Type(), t.Type, wanted, why)
	case int(t.Events.ValueSize()) < EventSize:
		return fmt.Errorf("%w: the values of the map of events have %d bytes; %d are needed", ErrTarget, t.Events.ValueSize(), EventSize)
	case t.Refusals != nil && t.Refusals.Type() != ebpf.ProgramArray:
		return fmt.Errorf("%w: refusals are in a %s; a %s is needed", ErrTarget, t.Refusals.Type(), ebpf.ProgramArray)
	}
	return nil
}

// Load makes the program of a hook and loads it. Its error is a [RejectedError] if the kernel
// refuses it, and otherwise about the target ([ErrTarget]) or what this process may do. The
// caller closes the program.
func (c *Contract) Load(h Hook, t Target) (*ebpf.Program, error) {
	p, err := c.compile(h, t)
	if err != nil {
		return nil, err
	}
	return p.load(h, t)
}

func (p *program) load(h Hook, t Target) (*ebpf.Program, error) {
	loaded, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "contract_" + h.String(), License: "GPL", Instructions: p.code,
		Type: t.Type, AttachType: t.AttachType, AttachTo: t.AttachTo,
	})
	var refused *ebpf.VerifierError
	if errors.As(err, &refused) && len(refused.Log) > 0 {
		return nil, p.rejected(h, t, refused)
	}
	if err != nil {
		return nil, fmt.Errorf("contract: load the program for %s: %w", h, err)
	}
	return loaded, nil
}

// RejectedError says that the kernel's verifier refused the program of a contract. This is
// a fault of this package or of the kernel, but the contract can be written otherwise.
type RejectedError struct {
	Hook Hook
	// Position of the test whose instruction was refused; the zero Position if it is of
	// none.
	Position Position
	// Instruction is its number, from 0; -1 if the log does not tell.
	Instruction int
	// Log is all that the verifier said.
	Log []string
	// Err is what the system call returned.
	Err error
}

func (e *RejectedError) Error() string {
	where := ""
	if e.Position != (Position{}) {
		where = e.Position.String() + ": "
	}
	return fmt.Sprintf("contract:%sthe kernel refused the program for %s at instruction %d: %v: %s", where, e.Hook, e.Instruction, e.Err, e.reason())
}

func (e *RejectedError) Unwrap() error { return e.Err }

// reason is what the log says after the last instruction.
func (e *RejectedError) reason() string {
	var said []string
	for _, line := range slices.Backward(e.Log) {
		if visited.MatchString(line) {
			break
		}
		if !isStatistics(line) && len(said) < 2 {
			said = append([]string{strings.TrimSpace(line)}, said...)
		}
	}
	return strings.Join(said, "; ")
}
