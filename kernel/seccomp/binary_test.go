package seccomp

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func encoded(t testing.TB, o Options) []byte {
	t.Helper()
	p, err := Compile(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBinary(t *testing.T) {
	everyProgram(t, func(t *testing.T, o Options) {
		b := encoded(t, o)
		var p Program
		if err := p.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		again, err := p.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("another encoding came back (%v)", err)
		}
		want, _ := Compile(o)
		if diff := cmp.Diff(want.String(), p.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBadBinary(t *testing.T) {
	good := func() []byte { return encoded(t, Options{Backend: Process}) }
	for name, c := range map[string]struct {
		change func([]byte) []byte
		err    string
	}{
		"empty":               {func([]byte) []byte { return nil }, "not an encoded program"},
		"another magic":       {func(b []byte) []byte { b[0]++; return b }, "not an encoded program"},
		"cut short":           {func(b []byte) []byte { return b[:len(b)-1] }, "bytes long"},
		"extended":            {func(b []byte) []byte { return append(b, 0) }, "bytes long"},
		"no instructions":     {func(b []byte) []byte { b[4], b[5] = 0, 0; return b }, "bytes long"},
		"a hole elsewhere":    {func(b []byte) []byte { b[headerSize], b[headerSize+1] = 0, 0; return b }, "no hole"},
		"a hole of nothing":   {func(b []byte) []byte { b[headerSize+2] = 9; return b }, "no hole"},
		"an unknown code":     {func(b []byte) []byte { b[len(b)-8] = 0xff; return b }, "not possible"},
		"a jump out":          {func(b []byte) []byte { b[len(b)-8], b[len(b)-7] = opJump, 0; return b }, "not possible"},
		"a load out of range": {func(b []byte) []byte { b[len(b)-8], b[len(b)-7], b[len(b)-4] = opLoad, 0, 64; return b }, "not possible"},
	} {
		t.Run(name, func(t *testing.T) {
			var p Program
			if err := p.UnmarshalBinary(c.change(good())); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v, want %q", err, c.err)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no backend":             {},
		"an unknown backend":     {Backend: "microvm"},
		"an unknown instruction": {Backend: Process, Arch: "riscv64"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Compile(o); err == nil || !strings.Contains(err.Error(), "there is no filter for") {
				t.Error(err)
			}
		})
	}
	if _, err := (Program{}).MarshalBinary(); err == nil {
		t.Error("an empty program was encoded")
	}
	if err := (Program{}).Install(ThisThread); err == nil {
		t.Error("an empty program was installed")
	}
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(encoded(f, Options{Backend: Process}), int32(0), uint64(0))
	f.Add(encoded(f, Options{Backend: SubInterpreter, Arch: ARM64, Grants: AllGrants}), int32(56), uint64(glibcThread))
	f.Fuzz(func(t *testing.T, b []byte, number int32, arg uint64) {
		var p Program
		if p.UnmarshalBinary(b) != nil {
			return
		}
		// What was decoded ends, and is what it was decoded from.
		for _, arch := range []uint32{unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, 0} {
			if _, err := p.Eval(Call{Number: number, Arch: arch, Args: [6]uint64{arg, arg, arg, arg, arg, arg}}); err != nil {
				t.Error(err)
			}
		}
		if again, err := p.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("another encoding came back (%v)", err)
		}
		_ = p.String()
	})
}
