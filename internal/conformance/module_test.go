package conformance

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

func TestModules(t *testing.T) {
	got, err := newRunner(t).Modules(t.Context(), []string{"math", "_ctypes", "no_such_module"}, []string{"math"}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{Loads, Denied, Missing} {
		if got[i].Cells != want || got[i].Evidence == "" || got[i].Vouched != (i == 0) || got[i].File != "" {
			t.Errorf("%+v, want %s", got[i], want)
		}
	}
}

func TestModuleFiles(t *testing.T) {
	r := newRunner(t)
	all, err := r.ExtensionModules(t.Context())
	if err != nil || len(all) < 20 {
		t.Fatalf("%d modules, %v", len(all), err)
	}
	file := ""
	for _, name := range all {
		if filepath.IsAbs(name) && !strings.Contains(name, "dbm") { // which no cell gets
			file = name
		}
	}
	if file == "" {
		t.Skip("this Python has no extension modules in files")
	}
	got, err := r.Modules(t.Context(), []string{file}, nil, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if m := got[0]; m.Cells != Loads && m.Cells != OneInterpreter || m.File != file || strings.ContainsAny(m.Name, "./") || m.Hardening == nil || !m.Hardening.PIE || m.Init == "" {
		t.Errorf("%+v", m)
	}
	// What is not an extension module of its name is told.
	other := filepath.Join(t.TempDir(), "other.so")
	if err := os.Symlink(file, other); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{other: "no PyInit_other", "/dev/null": "read /dev/null", "/no/such.so": "no such file"} {
		if _, err := r.Modules(t.Context(), []string{path}, nil, func(string) {}); !errors.Is(err, ErrFile) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"loads":           {nil, Loads},
		"one interpreter": {&cell.Error{Kind: cell.GuestError, Type: "ImportError", Message: "module x does not support loading in subinterpreters"}, OneInterpreter},
		"denied":          {cell.Errorf(cell.PolicyDenied, "x"), Denied},
		"missing":         {&cell.Error{Kind: cell.GuestError, Type: "ModuleNotFoundError"}, Missing},
		"fails":           {&cell.Error{Kind: cell.GuestError, Type: "ValueError"}, Fails},
		"crashes":         {cell.Errorf(cell.CellGone, "x"), Crashes},
		"no answer":       {cell.Errorf(cell.Timeout, "x"), ""},
		"no cell":         {errors.New("x"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := judge(test.err); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestGIL(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs two processors for itself for a while")
	}
	got, err := newRunner(t).GIL(t.Context(), func(string) {})
	if err != nil || len(got) != len(gilProbes) {
		t.Fatalf("%v, %v", got, err)
	}
	// Cells have a GIL each: they do not wait for each other, and their threads do.
	for i, want := range []Outcome{Pass, Pass, Pass, Fail} {
		if got[i].Outcome != want {
			t.Errorf("%s: %s: %s", got[i].Probe, got[i].Outcome, got[i].Evidence)
		}
	}
}
