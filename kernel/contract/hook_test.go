package contract

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
)

// hook stands in for a guard's program: for one thread it fills in the event, counts, and
// tail-calls what is in its slot. Other threads are let through.
type hook struct {
	hook    Hook
	target  Target
	counter uintptr          // in Counters: the one that moves
	fill    asm.Instructions // from the context, in R6, into the event, in R7
	slot    *ebpf.Map
}

func newHook(t testing.TB, h hook) hook {
	t.Helper()
	byte1 := &btf.Int{Name: "unsigned char", Size: 1}
	index := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	h.target.Events = newMap(t, &ebpf.MapSpec{
		Type: ebpf.TaskStorage, KeySize: 4, ValueSize: uint32(EventSize), Flags: unix.BPF_F_NO_PREALLOC,
		Key: index, Value: &btf.Array{Index: index, Type: byte1, Nelems: uint32(EventSize)},
	})
	h.slot = newMap(t, &ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	return h
}

// errRefused: the kernel has no such programs.
var errRefused = errors.New("a hook's program with task storage is refused here")

// program is the hook's own, for a thread.
func (h hook) program(tid int) (*ebpf.Program, error) {
	permit, refuse, err := h.target.verdict()
	if err != nil {
		return nil, err
	}
	count := asm.StoreXAdd(regEvent, asm.R1, asm.DWord)
	count.Offset = int16(countersAt + h.counter)
	code := asm.Instructions{
		asm.Mov.Reg(regContext, asm.R1),
		asm.FnGetCurrentPidTgid.Call(),
		asm.JNE.Imm32(asm.R0, int32(tid), "free"),
		asm.FnGetCurrentTaskBtf.Call(),
		asm.LoadMapPtr(asm.R1, h.target.Events.FD()),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Mov.Imm(asm.R3, 0),
		asm.Mov.Imm(asm.R4, 1), // create
		asm.FnTaskStorageGet.Call(),
		asm.JEq.Imm(asm.R0, 0, "refuse"),
		asm.Mov.Reg(regEvent, asm.R0),
		asm.StoreImm(regEvent, hookAt, int64(h.hook), asm.Word),
		asm.Mov.Imm(asm.R1, 1),
		count,
	}
	code = append(code, h.fill...)
	code = append(code,
		asm.Mov.Reg(asm.R1, regContext),
		asm.LoadMapPtr(asm.R2, h.slot.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, refuse).WithSymbol("refuse"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, permit).WithSymbol("free"),
		asm.Return(),
	)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "hook", License: "GPL", Instructions: code,
		Type: h.target.Type, AttachType: h.target.AttachType, AttachTo: h.target.AttachTo,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errRefused, err)
	}
	return p, nil
}

// attached runs f on a thread of its own whose events the hook judges.
func (h hook) attached(t testing.TB, attach func(*ebpf.Program) (link.Link, error), f func() error) {
	t.Helper()
	err := osthread.Run(func() error {
		p, err := h.program(unix.Gettid())
		if err != nil {
			return err
		}
		defer func() { _ = p.Close() }()
		l, err := attach(p)
		if err != nil {
			return err
		}
		return errors.Join(f(), l.Close())
	})
	if errors.Is(err, errRefused) {
		t.Skip(err)
	}
	if err != nil {
		t.Error(err)
	}
}

// fillPeer4 is for programs of connect4 and sendmsg4.
func fillPeer4() asm.Instructions {
	at := func(i asm.Instruction, offset uintptr) asm.Instruction {
		i.Offset = int16(offset)
		return i
	}
	const family, ip4, port, protocol = 28, 4, 24, 36 // in struct bpf_sock_addr
	f := fieldNamed
	return asm.Instructions{
		asm.StoreImm(regEvent, int16(familyAt), unix.AF_INET, asm.Half),
		asm.LoadMem(asm.R1, regContext, port, asm.Word),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		at(asm.StoreMem(regEvent, 0, asm.R1, asm.Half), f("connect.port").offset),
		asm.LoadMem(asm.R1, regContext, protocol, asm.Word),
		at(asm.StoreMem(regEvent, 0, asm.R1, asm.Half), f("connect.protocol").offset),
		asm.LoadMem(asm.R1, regContext, ip4, asm.Word),
		asm.StoreMem(regEvent, addressAt+12, asm.R1, asm.Word),
		asm.StoreImm(regEvent, addressAt+10, 0xffff, asm.Half),
	}
}
