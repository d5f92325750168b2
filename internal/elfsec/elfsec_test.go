package elfsec

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The same program built in two ways must be told apart, mark by mark.
func TestRead(t *testing.T) {
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler: ", err)
	}
	dir := t.TempDir()
	src := filepath.Join(dir, "p.c")
	program := "#include <string.h>\n#include <stdio.h>\nint main(int n, char **v) { char b[64]; strcpy(b, v[n - 1]); return puts(b); }\n"
	if err := os.WriteFile(src, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	build := func(name string, flags ...string) Report {
		out := filepath.Join(dir, name)
		if text, err := exec.Command(cc, append(flags, "-o", out, src)...).CombinedOutput(); err != nil {
			t.Fatalf("cc: %v\n%s", err, text)
		}
		r, err := Read(out)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	hard := build("hard", "-O2", "-fPIE", "-pie", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")
	soft := build("soft", "-O0", "-no-pie", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-Wl,-z,norelro,-z,lazy")
	hard.IBT, hard.ShadowStack = false, false // as the machine's C library has it
	if want := (Report{PIE: true, RELRO: true, BindNow: true, Canary: true, Fortify: true, NXStack: true}); hard != want {
		t.Errorf("hardened: %+v, want %+v", hard, want)
	}
	if soft.PIE || soft.RELRO || soft.BindNow || soft.Canary || soft.Fortify {
		t.Errorf("plain: %+v", soft)
	}
	if _, err := Read(src); err == nil {
		t.Error("a C source was taken for an ELF file")
	}
}
