package policystore

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestMachineStops has some pages of the state's file reach the disk and others not, since the file was marked, and
// opens it at another start of the machine: all that was answered is there. At the same start it is damage.
func TestMachineStops(t *testing.T) {
	base := t.TempDir()
	whole, dir := filepath.Join(base, "whole"), filepath.Join(base, "stopped")
	makeStore(t, whole)
	before := readState(t, whole)
	s := mustOpen(t, Config{Dir: whole, SnapshotEvery: 1000})
	for range 30 {
		mustPut(t, s, "policy1", "more")
	}
	want := storeDigest(t, s)
	copyDir(t, whole, filepath.Join(base, "running"))
	mustClose(t, s)
	if cut := (&state{path: filepath.Join(whole, stateFile)}).cut(); cut {
		t.Error("a state that was closed is marked")
	}
	whole = filepath.Join(base, "running")
	after := readState(t, whole)

	states := map[string][]byte{"none of them": before, "all of them": after, "not even the file's length": after[:4096*3], "nothing": nil}
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20 {
		mixed := append([]byte(nil), after...)
		for at := 0; at < len(before); at += 4096 {
			if r.IntN(2) == 0 {
				copy(mixed[at:at+4096], before[at:])
			}
		}
		states["some "+string(rune('a'+i))] = mixed
	}
	made := 0
	for name, content := range states {
		copyDir(t, whole, dir)
		path := filepath.Join(dir, stateFile)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if named := outcomeOfUnsynced(t, dir, "", want); named == path {
			made++
		} else if named != "" {
			t.Errorf("%s, at the same start: %s is named", name, named)
		}
		copyDir(t, whole, dir)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if named := outcomeOfUnsynced(t, dir, "another start", want); named != "" {
			t.Errorf("%s: %s is named", name, named)
		}
	}
	if made < len(states)/2 {
		t.Errorf("only %d of %d files were damaged", made, len(states))
	}
}

// outcomeOfUnsynced is outcomeOf a directory whose state was written to since a start of the machine; "": since this one.
func outcomeOfUnsynced(t *testing.T, dir, since string, want Digest) (named string) {
	t.Helper()
	mark := (&state{path: filepath.Join(dir, stateFile)}).mark()
	if since != "" {
		if err := os.WriteFile(mark, []byte(since), 0o600); err != nil {
			t.Fatal(err)
		}
	} else if _, err := os.Stat(mark); err != nil {
		t.Fatalf("a state that is written to is not marked: %v", err)
	}
	return outcomeOf(t, dir, want)
}

func readState(t *testing.T, dir string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
