package systemtest

import (
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// TestStoredPolicyIsLive: while a program runs, its cell loses a path by a put and regains it by
// a rollback.
func TestStoredPolicyIsLive(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		store, err := policystore.Open(t.Context(), policystore.Config{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		reloader := live.New(store, live.Options{})
		t.Cleanup(func() {
			reloader.Close()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		editor := policystore.Principal{Name: "editor", Role: policystore.PolicyAdmin}
		put := func(pattern string) policystore.Version {
			t.Helper()
			text := fmt.Sprintf("version: 1.0\nsandboxes:\n  s:\n    imports: [os]\n    fs: [ { read: %q }, { deny: %q } ]\n", root+"/a/*", root+"/a/"+pattern)
			v, err := store.Put(t.Context(), editor, policystore.PutRequest{Name: "p", Text: []byte(text)})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		first := put("*.key")
		d, err := document.Parse("p", first.Text)
		if err != nil {
			t.Fatal(err)
		}
		compiled, err := d.Compile("", document.Options{})
		if err != nil {
			t.Fatal(err)
		}
		spec := cell.Spec{Backend: b}
		if err := compiled.Apply(&spec); err != nil {
			t.Fatal(err)
		}
		c := spawn(t, l, spec)
		followed, err := reloader.Follow(soon(t), "p", "", live.Cell{Cell: c})
		if err != nil {
			t.Fatal(err)
		}
		posts(t, c, attempts)
		ended := make(chan error, 1)
		go func() {
			ended <- c.Exec(soon(t), source(`
def until(verdict):
    while attempt("open('%s/a/file').read()") != verdict: pass
    post(verdict)
until('%s')
until('refused by the gate')
until('%s')
`, root, publicText, publicText))
		}()
		receive(t, c, `"`+publicText+`"`)
		put("f*")
		receive(t, c, `"refused by the gate"`)
		if _, err := store.Rollback(t.Context(), editor, policystore.RollbackRequest{Name: "p", To: first.Number}); err != nil {
			t.Fatal(err)
		}
		receive(t, c, `"`+publicText+`"`)
		if err := <-ended; err != nil {
			t.Error(err)
		}
		// The guest may see its rules before the reloader has heard that they are in force.
		await.That(t, "the report tells of version 3", func() bool {
			r := followed.Report()
			return r.Version == 3 && r.Failed == ""
		})
	})
}

// TestWeakCellsLoseWhatTheyHad: a version that wants a process takes everything from a thread that
// runs already, until one accepts it again.
func TestWeakCellsLoseWhatTheyHad(t *testing.T) {
	root := newTree(t)
	l := newLauncher(t, launch.Config{Kernel: newKernel(t)})
	store, err := policystore.Open(t.Context(), policystore.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan live.Report, 9) // at least one for each version
	reloader := live.New(store, live.Options{Reported: func(r live.Report) { reports <- r }})
	t.Cleanup(func() {
		reloader.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	put := func(backend cell.Backend) {
		t.Helper()
		text := fmt.Sprintf("version: 1.0\nsandboxes:\n  s:\n    imports: [os]\n    backend: %s\n    fs: [ { read: %q } ]\n", backend, root+"/a")
		if _, err := store.Put(t.Context(), policystore.Principal{Name: "editor", Role: policystore.PolicyAdmin}, policystore.PutRequest{Name: "p", Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	put(cell.SubInterpreter)
	c := spawn(t, l, cell.Spec{Backend: cell.SubInterpreter, Imports: []string{"os"}, Policy: fileRules(readAt(root + "/a"))})
	if _, err := reloader.Follow(soon(t), "p", "", live.Cell{Cell: c}); err != nil {
		t.Fatal(err)
	}
	opens := fmt.Sprintf("open('%s/a/file').read()", root)
	for n, step := range []struct {
		backend         cell.Backend
		opened, imports string
	}{
		{cell.SubInterpreter, "", ""},
		{cell.Process, "PolicyDenied", "ImportDenied"},
		{cell.SubInterpreter, "", ""},
	} {
		if n > 0 {
			put(step.backend)
		}
		var r live.Report
		select {
		case r = <-reports:
		case <-soon(t).Done():
		}
		if r.Version != uint64(n+1) || r.Failed != "" || (r.Wants == cell.Process) != (step.backend == cell.Process) {
			t.Fatalf("version %d: %+v", n+1, r)
		}
		if got := raises(t, c, opens); got != step.opened {
			t.Errorf("version %d: a file: %q; want %q", n+1, got, step.opened)
		}
		if got := raises(t, c, "import os"); got != step.imports {
			t.Errorf("version %d: a module: %q; want %q", n+1, got, step.imports)
		}
	}
}
