package contract

import (
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
)

// TestHeader holds Event to struct contract_event, member by member.
func TestHeader(t *testing.T) {
	var source strings.Builder
	source.WriteString("#include <stddef.h>\ntypedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;\n#include \"event.h\"\n")
	is := func(c string, want uintptr) {
		source.WriteString("_Static_assert((" + c + ") == " + strconv.FormatUint(uint64(want), 10) + ", \"" + c + "\");\n")
	}
	for _, f := range fields {
		member := strings.TrimPrefix(f.name, "connect.")
		switch {
		case f.hook == 0:
			member = "counters." + f.name
		case f.kind == kindFlag:
			is("CONTRACT_"+strings.ToUpper(strings.TrimPrefix(f.name, "open.")), uintptr(f.mask))
			member = "access"
		case f.kind == kindPath:
			member = "path"
		}
		is("offsetof(struct contract_event, "+member+")", f.offset)
		if f.size != asm.Byte && f.kind != kindPath && f.kind != kindAddress {
			is("sizeof(((struct contract_event *)0)->"+member+")", uintptr(f.size.Sizeof()))
		}
	}
	is("offsetof(struct contract_event, hook)", uintptr(hookAt))
	is("offsetof(struct contract_event, line)", uintptr(lineAt))
	is("offsetof(struct contract_event, column)", uintptr(columnAt))
	is("sizeof(struct contract_event)", uintptr(EventSize))
	is("CONTRACT_PATH", MaxPath)
	for h := Open; h <= Fork; h++ {
		is("CONTRACT_"+strings.ToUpper(h.String()), uintptr(h))
	}
	compiler, err := exec.LookPath("cc")
	if err != nil {
		t.Skip(err)
	}
	c := exec.Command(compiler, "-fsyntax-only", "-I", "bpf", "-x", "c", "-")
	c.Stdin = strings.NewReader(source.String())
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTargets(t *testing.T) {
	value := uint32(EventSize)
	array := newMap(t, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: value, MaxEntries: 1})
	small := newMap(t, &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: value - 8, MaxEntries: 1})
	perCPU := newMap(t, &ebpf.MapSpec{Type: ebpf.PerCPUArray, KeySize: 4, ValueSize: value, MaxEntries: 1})
	for name, c := range map[string]struct {
		target Target
		want   string
	}{
		"no map":             {Target{Type: ebpf.LSM}, "there is no map of events"},
		"a small map":        {Target{Type: ebpf.SchedCLS, Events: small}, "have 344 bytes; 352 are needed"},
		"per CPU":            {LSM("file_open", perCPU), "is a PerCPUArray; for programs of type LSM it must be a TaskStorage"},
		"per CPU, packets":   {Target{Type: ebpf.CGroupSKB, Events: perCPU}, "is a PerCPUArray; for programs of type CGroupSKB it must be a Array"},
		"an array, a thread": {SockAddr(ebpf.AttachCGroupInet4Connect, array), "it must be a TaskStorage, since each thread has its own"},
		"no judge":           {Target{Type: ebpf.Kprobe, Events: array}, "programs of type Kprobe judge nothing"},
		"refusals":           {Target{Type: ebpf.SchedCLS, Events: array, Refusals: array}, "refusals are in a Array; a ProgramArray is needed"},
	} {
		_, err := parse(t, "opens == 1").Load(Open, c.target)
		if !errors.Is(err, ErrTarget) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestRefusals: the program for refusals is called, and says what is returned.
func TestRefusals(t *testing.T) {
	b := newBench(t, 2)
	b.target.Refusals = newMap(t, &ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 8})
	b.target.RefusalIndex = 5
	p := load(t, parse(t, "opens <= 1"), Open, b.target)
	run := func(index int) uint32 {
		verdict, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64), Context: packet(index)})
		if err != nil {
			t.Fatal(err)
		}
		return verdict
	}
	b.put(t, 0, OpenEvent("/a", Read, Counters{Opens: 1}))
	b.put(t, 1, OpenEvent("/a", Read, Counters{Opens: 2}))
	if got := []uint32{run(0), run(1)}; !cmp.Equal(got, []uint32{1, 0}) {
		t.Errorf("with nothing in the array: %v", got)
	}
	handler, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 7), asm.Return()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = handler.Close() })
	if err := b.target.Refusals.Put(uint32(5), handler); err != nil {
		t.Fatal(err)
	}
	// The last index is of no event.
	if got := []uint32{run(0), run(1), run(2)}; !cmp.Equal(got, []uint32{1, 7, 7}) {
		t.Errorf("with a program: %v", got)
	}
}

// TestRejected: what the verifier refuses comes back with its place.
func TestRejected(t *testing.T) {
	b := newBench(t, 1)
	load(t, parse(t, "opens == 1"), Open, b.target) // or skip
	for name, c := range map[string]struct {
		source string
		fault  func(*program, int) // at the first instruction of the place
		at     Position
		want   string
	}{
		"out of the value":    {"opens == 1\n  opens == 2 or opens == 3\nopens == 4", func(p *program, i int) { p.code[i].Offset = 4096 }, Position{2, 17}, "invalid access to map value"},
		"out of the program":  {"opens == 1\nopens == 2", func(p *program, i int) { p.code[i+1].Offset = 4096 }, Position{2, 1}, "jump out of range"},
		"nothing leads to it": {"opens == 1\nopens == 2", func(p *program, i int) { p.code[i] = asm.Ja.Label(""); p.code[i].Offset = 1 }, Position{2, 1}, "unreachable insn"},
	} {
		p, err := parse(t, c.source).compile(Open, b.target)
		if err != nil {
			t.Fatal(err)
		}
		raw := 0
		for i := range p.code {
			if p.places[raw] == c.at {
				c.fault(p, i)
				break
			}
			raw += int(p.code[i].Size()) / asm.InstructionSize
		}
		_, err = p.load(Open, b.target)
		var refused *RejectedError
		if !errors.As(err, &refused) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if refused.Position != c.at || !strings.Contains(refused.Error(), c.want) || !strings.Contains(refused.Error(), "contract:"+c.at.String()) {
			t.Errorf("%s: %v\n%q", name, refused, refused.Log)
		}
	}
}

// TestInstruction: logs of other kinds.
func TestInstruction(t *testing.T) {
	for name, c := range map[string]struct {
		log  []string
		want int
	}{
		"walk":       {[]string{"0: R1=ctx() R10=fp0", "0: (bf) r6 = r1", "12: (79) r3 = *(u64 *)(r7 +4096)", "invalid access to map value, value_size=352 off=4096 size=8", "R7 min value is outside of the allowed memory range", "processed 13 insns (limit 1000000)"}, 12},
		"structure":  {[]string{"unreachable insn 19", "processed 0 insns"}, 19},
		"jump":       {[]string{"jump out of range from insn 5 to 4102"}, 5},
		"empty":      {nil, -1},
		"statistics": {[]string{"processed 9 insns (limit 1000000)"}, -1},
	} {
		if got := instruction(c.log); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// sets are lines of a format, each with a set of elements that differ.
func sets(format string, element func(i int) string, lines, of int) string {
	var list []string
	for i := range of {
		list = append(list, element(i))
	}
	return strings.Repeat(fmt.Sprintf(format+"\n", strings.Join(list, ",")), lines)
}

// shortPath has four branches under under, and few bytes.
func shortPath(i int) string { return fmt.Sprintf(`"/%02x"`, i) }

// TestLargest: contracts at the bounds load, or are refused here and not by the kernel.
func TestLargest(t *testing.T) {
	b := newBench(t, 1)
	fill := func(format func(int) string) string {
		var s strings.Builder
		for i := 0; i < MaxAssertions; i++ {
			line := format(i) + "\n"
			if s.Len()+len(line) > MaxSource {
				break
			}
			s.WriteString(line)
		}
		return s.String()
	}
	set := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, strconv.Itoa(i*2))
		}
		return strings.Join(list, ",")
	}
	for name, c := range map[string]struct {
		source string
		hook   Hook
	}{
		"assertions": {fill(func(i int) string { return "opens <= " + strconv.Itoa(i) + " or denied == 5" }), Open},
		"sets":       {fill(func(int) string { return "opens in {" + set(MaxSet) + "}" }), Open},
		"paths":      {fill(func(int) string { return `open.path not under "` + strings.Repeat("/a", 127) + `"` }), Open},
		"addresses": {fill(func(i int) string {
			return "connect.address not in {1:2:3:4::" + strconv.Itoa(i) + ",::" + strconv.Itoa(i) + "}"
		}), Connect},
		"large numbers": {fill(func(i int) string {
			var list []string
			for j := range 128 {
				list = append(list, strconv.Itoa(j*2+3)+"h")
			}
			return "cpu in {" + strings.Join(list, ",") + "}"
		}), Fork},
		"branches":     {sets("open.path under {%s}", shortPath, MaxBranches/4/201, 200), Open},
		"alternatives": {strings.TrimSuffix(strings.Repeat("opens>5 or cpu>1h or ", 700), " or "), Open},
	} {
		contract := parse(t, c.source)
		p, err := contract.compile(c.hook, b.target)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		loaded := load(t, contract, c.hook, b.target)
		info, err := loaded.Info()
		if err != nil {
			t.Fatal(err)
		}
		verified, _ := info.VerifiedInstructions()
		t.Logf("%s: %d instructions, %d verified", name, p.code.Size()/asm.InstructionSize, verified)
	}
}

// What no kernel would load is refused when it is read, with the assertion that is too much.
func TestTooLong(t *testing.T) {
	address := func(i int) string { return fmt.Sprintf("::%x", i) }
	for source, want := range map[string]string{
		sets("connect.address in {%s}", address, 10, MaxSet):     "10:1: here the program for connect has more than 16384 instructions",
		sets("open.path under {%s}", shortPath, 11, 200):         "10:1: here the program for open has more than 8000 branches",
		sets("open.path not under {%s}", shortPath, 9, MaxSet-1): "8:1: here the program for open has more than 8000 branches",
	} {
		_, err := Parse(source)
		var fault *Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s (%d bytes): %.200v", source, len(source), err)
		}
	}
}
