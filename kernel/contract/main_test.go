package contract

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func parse(t testing.TB, source string) *Contract {
	t.Helper()
	c, err := Parse(source)
	if err != nil {
		t.Fatalf("%.500s\nin\n%.500s", err, source)
	}
	return c
}

// bench is a kernel to run programs in, for packets: the only type whose runs can be had
// without anything attached.
type bench struct {
	target Target
	room   int
}

func newBench(t testing.TB, room int) bench {
	t.Helper()
	events := newMap(t, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: uint32(EventSize), MaxEntries: uint32(room)})
	return bench{Target{Type: ebpf.SchedCLS, Events: events}, room}
}

func newMap(t testing.TB, spec *ebpf.MapSpec) *ebpf.Map {
	t.Helper()
	m, err := ebpf.NewMap(spec)
	if errors.Is(err, fs.ErrPermission) {
		t.Skipf("eBPF maps are refused here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

func load(t testing.TB, c *Contract, h Hook, target Target) *ebpf.Program {
	t.Helper()
	p, err := c.Load(h, target)
	var refused *RejectedError
	switch rejected := errors.As(err, &refused); {
	case errors.Is(err, fs.ErrPermission) && !rejected, errors.Is(err, ErrTarget) && rejected:
		t.Skipf("such programs are refused here: %v", err)
	case err != nil:
		if rejected {
			t.Logf("%.4000q", refused.Log)
		}
		t.Fatalf("%v\nin\n%.500s", err, c)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// put stores an event as the kernel has it.
func (b bench) put(t testing.TB, index int, e Event) {
	t.Helper()
	if err := b.target.Events.Put(uint32(index), asBytes(&e)); err != nil {
		t.Fatal(err)
	}
}

func (b bench) get(t testing.TB, index int) (e Event) {
	t.Helper()
	if err := b.target.Events.Lookup(uint32(index), asBytes(&e)); err != nil {
		t.Fatal(err)
	}
	return e
}

func asBytes(e *Event) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(e)), EventSize) }

// packet is a struct __sk_buff with cb[0].
func packet(index int) []byte {
	var b bytes.Buffer
	b.Write(make([]byte, controlAt))
	_ = binary.Write(&b, binary.NativeEndian, uint32(index))
	b.Write(make([]byte, 192-b.Len()))
	return b.Bytes()
}

// permits runs a program on the event that is at an index.
func permits(t testing.TB, p *ebpf.Program, index int) bool {
	t.Helper()
	verdict, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64), Context: packet(index)})
	if err != nil {
		t.Fatal(err)
	}
	return verdict == 1
}

const tcp, udp = unix.IPPROTO_TCP, unix.IPPROTO_UDP
