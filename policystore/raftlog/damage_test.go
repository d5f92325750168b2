package raftlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/raft"
)

// contents is all that a log says.
func contents(path string) (string, error) {
	l, err := Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }() // only read
	var b strings.Builder
	s := l.span.Load()
	fmt.Fprintln(&b, *s)
	for i := s.first; i <= s.last; i++ {
		var e raft.Log
		if err := l.GetLog(i, &e); err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%+v\n", e)
	}
	term, err := l.GetUint64([]byte("CurrentTerm"))
	fmt.Fprintln(&b, term)
	return b.String(), err
}

// TestDamage flips bits everywhere and cuts the file: either it is named, or the log says
// what it said before.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	path, damaged := filepath.Join(dir, "raft.db"), filepath.Join(dir, "damaged.db")
	l := openLog(t, path)
	if err := errors.Join(l.StoreLogs(entries(1, 60)), l.SetUint64([]byte("CurrentTerm"), 9), l.DeleteRange(1, 20), l.StoreLogs(entries(61, 90))); err != nil {
		t.Fatal(err)
	}
	closeLog(t, l)
	want, err := contents(path)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	whole = bytes.TrimRight(whole, "\x00") // room to grow is not interesting
	whole = append(whole, make([]byte, -len(whole)&4095)...)
	named := 0
	try := func(what string, data []byte, must bool) {
		t.Helper()
		if err := os.WriteFile(damaged, data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := contents(damaged)
		var d *Damage
		switch {
		case errors.As(err, &d) && d.File == damaged && strings.Contains(err.Error(), damaged):
			named++
		case err != nil:
			t.Errorf("%s: %v is not a Damage that names the file", what, err)
		case got != want:
			t.Errorf("%s: not found, and the log differs", what)
		case must:
			t.Errorf("%s: not found", what)
		}
	}
	r, flips := rand.New(rand.NewPCG(4, 5)), 800
	if testing.Short() {
		flips = 100
	}
	for range flips {
		bit := r.IntN(len(whole) * 8)
		whole[bit/8] ^= 1 << (bit % 8)
		try(fmt.Sprintf("bit %d", bit), whole, false)
		whole[bit/8] ^= 1 << (bit % 8)
	}
	if named < flips/5 {
		t.Errorf("only %d of %d flips were found", named, flips)
	}
	try("whole", whole, false)
	for _, cut := range []int{1, 4095, 4096, len(whole) / 2, 5 * 4096} {
		try(fmt.Sprintf("cut to %d", cut), whole[:cut], true)
	}
	try("emptied", nil, true)
	try("text", []byte(strings.Repeat("text ", 10000)), true)
}
