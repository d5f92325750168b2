package guard

import (
	"errors"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// places in struct contract_event of kernel/contract/bpf/event.h.
const (
	portAt   = 10
	lineAt   = 32
	columnAt = 36
	sentAt   = 56
)

// pointOf returns a contract's point, or skips where there is none.
func pointOf(t testing.TB, g *Guard, name string) ContractPoint {
	t.Helper()
	list := g.ContractPoints()
	at := slices.IndexFunc(list, func(p ContractPoint) bool { return p.Name == name })
	if at < 0 {
		t.Skipf("no contracts at %s here", name)
	}
	return list[at]
}

// verdicts of a program's type.
func verdicts(p ContractPoint) (permit, refuse int32) {
	if p.Type == ebpf.LSM {
		return 0, -int32(unix.EACCES)
	}
	return 1, 0
}

// contractOf makes a contract by hand: it finds the event, and permits where less is below
// a number; else it says where and goes on to the program for refusals.
func contractOf(t testing.TB, p ContractPoint, at int16, size asm.Size, below int32) *ebpf.Program {
	t.Helper()
	permit, refuse := verdicts(p)
	find := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnGetCurrentTaskBtf.Call(),
		asm.LoadMapPtr(asm.R1, p.Events.FD()), asm.Mov.Reg(asm.R2, asm.R0), asm.Mov.Imm(asm.R3, 0), asm.Mov.Imm(asm.R4, 0),
		asm.FnTaskStorageGet.Call(),
	}
	if p.Events.Type() == ebpf.Array {
		find = asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.LoadMem(asm.R1, asm.R6, 48, asm.Word), asm.StoreMem(asm.RFP, -4, asm.R1, asm.Word), // cb[0]
			asm.LoadMapPtr(asm.R1, p.Events.FD()), asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
		}
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "contract", Type: p.Type, AttachType: p.AttachType, AttachTo: p.AttachTo, License: "GPL",
		Instructions: append(append(asm.Instructions{withFunc(find[0])}, find[1:]...),
			asm.JEq.Imm(asm.R0, 0, "refuse"),
			asm.LoadMem(asm.R1, asm.R0, at, size),
			asm.JLT.Imm(asm.R1, below, "permit"),
			asm.StoreImm(asm.R0, lineAt, 3, asm.Word), asm.StoreImm(asm.R0, columnAt, 5, asm.Word),
			asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, p.Refusals.FD()), asm.Mov.Imm(asm.R3, int32(p.RefusalIndex)),
			asm.FnTailCall.Call(),
			asm.Mov.Imm(asm.R0, refuse).WithSymbol("refuse"), asm.Return(),
			asm.Mov.Imm(asm.R0, permit).WithSymbol("permit"), asm.Return(),
		)})
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program
}

// withFunc gives the program's function a type, without which it may not call helpers that
// want the kernel's.
func withFunc(first asm.Instruction) asm.Instruction {
	return btf.WithFuncMetadata(first.WithSymbol("contract"), &btf.Func{Name: "contract", Linkage: btf.GlobalFunc, Type: &btf.FuncProto{
		Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}, Params: []btf.FuncParam{{Name: "ctx", Type: &btf.Pointer{Target: &btf.Void{}}}}}})
}

// withContracts makes a cell that a policy lets go anywhere, with contracts.
func withContracts(t testing.TB, g *Guard, c Contracts) (*Cell, *Rules) {
	t.Helper()
	r, err := g.Build(anywhere(policy.Quotas{}), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Release)
	cell, err := g.NewCellOf(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cell.Close)
	return cell, r
}

func dial(port int) error {
	return to(unix.AF_INET, unix.SOCK_DGRAM, connect(&unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}))
}

// TestContract: what a policy permits its contract may refuse; that is not charged, and told.
func TestContract(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		name := "connect4"
		if g.Kind() == LSM {
			name = "socket_connect"
		}
		p := pointOf(t, g, name)
		events := collect(t, g)
		c, r := withContracts(t, g, Contracts{name: contractOf(t, p, portAt, asm.Half, 1000)})
		on(t, c, func() error { return errors.Join(dial(999), denied("a port too high", dial(1000))) })
		if u := c.Usage(); u.Connects != 1 || u.Denied != 1 {
			t.Errorf("%+v", u)
		}
		if e, ok := events.first(func(e Event) bool { return e.Cell == c.Index() }); !ok || e.Kind != Broken || e.Line != 3 || e.Column != 5 || e.Hook != "connect" {
			t.Errorf("%+v", e)
		}
		// A contract that is not there refuses.
		if err := g.maps[points[name].array].Delete(r.slot); err != nil {
			t.Fatal(err)
		}
		on(t, c, func() error { return denied("no contract", dial(999)) })
		if err := c.Swap(anywhere(policy.Quotas{})); err != nil {
			t.Fatal(err)
		}
		on(t, c, func() error { return dial(1000) })
	})
}

// TestContractOfPackets: a contract sees what was sent, this packet included.
func TestContractOfPackets(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		p := pointOf(t, g, "egress")
		limit := int32(5*(100+udpHeaders) + 1)
		c, _ := withContracts(t, g, Contracts{"egress": contractOf(t, p, sentAt, asm.DWord, limit)})
		peer := addressOf(sink(t))
		on(t, c, func() error {
			n, err := sent(peer, 10, 100)
			if n != 5 {
				t.Errorf("%d datagrams of 5 went", n)
			}
			return denied("a packet too many", err)
		})
		if u := c.Usage(); u.Sent != 5*(100+udpHeaders) || u.Denied != 1 {
			t.Errorf("%+v", u)
		}
	})
}

// What a contract refuses uses up no bandwidth.
func TestRefusedPacketsTakeNoBandwidth(t *testing.T) {
	each(t, func(t *testing.T, g *Guard) {
		p := pointOf(t, g, "egress")
		peer := sink(t)
		const n, size = 300, 1000 // some seconds' worth
		r, err := g.Build(anywhere(policy.Quotas{Bandwidth: policy.MinBandwidth}), Contracts{"egress": contractOf(t, p, sentAt, asm.DWord, 0)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Release)
		c, err := g.NewCellOf(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		on(t, c, func() error {
			for range n {
				if _, err := sent(addressOf(peer), 1, size); err == nil {
					return errors.New("a packet was sent")
				}
			}
			return nil
		})
		if u := c.Usage(); u.Denied != n || u.Slowed != 0 || u.Sent != 0 {
			t.Errorf("%+v", u)
		}
	})
}

func TestContractOfOpens(t *testing.T) {
	g := guarded(t)
	const opensAt = 40
	p := pointOf(t, g, "file_open")
	tr := newTree(t)
	r, err := g.Build(tr.policy(), Contracts{"file_open": contractOf(t, p, opensAt, asm.DWord, 3)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	c, err := g.NewCellOf(r)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	events := collect(t, g)
	on(t, c, func() error {
		return errors.Join(readAs(tr.at("a/file")), readAs(tr.at("a/file")), denied("the third", readAs(tr.at("a/file"))))
	})
	if e, ok := events.first(func(e Event) bool { return e.Cell == c.Index() }); !ok || e.Kind != Broken || e.Path == "" {
		t.Errorf("%+v", e)
	}
}

func TestNoSuchContract(t *testing.T) {
	g := shared.get(t, ways["cgroup"])
	p := pointOf(t, g, "connect4")
	program := contractOf(t, p, portAt, asm.Half, 1000)
	for _, name := range []string{"file_open", "nowhere"} {
		if _, err := g.Build(policy.Policy{}, Contracts{name: program}); !errors.Is(err, ErrContract) {
			t.Errorf("at %s: %v", name, err)
		}
	}
	if _, err := g.Build(policy.Policy{}, Contracts{"egress": program}); err == nil {
		t.Error("a program of another type was taken")
	}
}
