package systemtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

const (
	secretText = "the secret"
	publicText = "what all may know"
)

// newTree has directories a and b with a file each, which every user may read and change, and
// links to them.
func newTree(tb testing.TB) string {
	tb.Helper()
	root := tb.TempDir()
	// The directory above is the test's own.
	for _, dir := range []string{filepath.Dir(root), root} {
		if err := os.Chmod(dir, 0o755); err != nil {
			tb.Fatal(err)
		}
	}
	for name, text := range map[string]string{"a": publicText, "b": secretText} {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			tb.Fatal(err)
		}
		if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	if err := os.Mkdir(root+"/links", 0o755); err != nil {
		tb.Fatal(err)
	}
	for link, to := range map[string]string{"/a/link": "/b/file", "/links/a": "/a/file", "/links/b": "/b/file"} {
		if err := os.Symlink(root+to, root+link); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func readAt(path string) policy.FileRule { return policy.FileRule{Path: path, Access: policy.Read} }

func fileRules(rules ...policy.FileRule) *policy.Policy { return &policy.Policy{Files: rules} }

// attempts evaluates a Python expression and tells what it gave or who refused it.
const attempts = `
import os
def attempt(what):
    try:
        value = eval(what)
    except Exception as e:
        name = type(e).__name__
        return {'PolicyDenied': 'refused by the gate', 'PermissionError': 'refused by the kernel'}.get(name, name)
    return value if isinstance(value, str) else 'done'
`

func attempt(tb testing.TB, c cell.Cell, what string) string {
	tb.Helper()
	out := posts(tb, c, "post(attempt("+pyString(what)+"))")
	if len(out) != 1 {
		tb.Fatalf("%s: %q", what, out)
	}
	return strings.Trim(out[0], `"`)
}

func pyString(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(s) + "'"
}

// changes reports whether cells may change files where their policy says so: programs that
// judge files and are not told the paths of changes refuse all of them.
func changes(kernel *enforce.Enforcer) bool {
	facts := kernel.Facts()
	return !facts.Files || facts.Changes
}

// A policy with as many paths as the gate takes comes to the cell whole.
func TestLargestPolicyOfFiles(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		name := func(i int) string { return fmt.Sprintf("%s/a/%s-%04d", root, strings.Repeat("n", 40), i) }
		var rules []policy.FileRule
		for i := range (240 << 10) / (len(name(0)) + 6) {
			if err := os.WriteFile(name(i), []byte(publicText), 0o644); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, readAt(name(i)))
		}
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os"}, Policy: fileRules(rules...)})
		posts(t, c, attempts)
		for path, want := range map[string]string{
			rules[0].Path: publicText, rules[len(rules)-1].Path: publicText, root + "/b/file": "refused by the gate",
		} {
			if got := attempt(t, c, "open('"+path+"').read()"); got != want {
				t.Errorf("%d rules: %s: %s, want %s", len(rules), path, got, want)
			}
		}
	})
}

func TestPolicyOfFiles(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os"}, Policy: fileRules(
			policy.FileRule{Path: root + "/a", Access: policy.Read | policy.Write},
			policy.FileRule{Path: root + "/a/gone", Access: 0},
		)})
		posts(t, c, attempts)
		for _, try := range []struct{ what, want string }{
			{"open('ROOT/a/file').read()", publicText},
			{"open('ROOT//a/./file').read()", publicText},
			{"open('ROOT/a/../a/file').read()", "refused by the gate"},
			{"open('ROOT/b/file').read()", "refused by the gate"},
			{"open('ROOT/ab/file').read()", "refused by the gate"},
			{"open('/etc/passwd').read()", "refused by the gate"},
			{"open('ROOT/a/link').read()", "refused by the kernel"},
			{"open('ROOT/a/new', 'w').write('x')", "done"},
			{"os.rename('ROOT/a/new', 'ROOT/a/other')", "done"},
			{"os.rename('ROOT/a/other', 'ROOT/b/other')", "refused by the gate"},
			{"os.truncate('ROOT/a/other', 0)", "done"},
			{"os.remove('ROOT/a/other')", "done"},
			{"os.mkdir('ROOT/a/dir')", "done"},
			{"os.rmdir('ROOT/a/dir')", "done"},
			{"os.mkdir('ROOT/a/gone')", "refused by the gate"},
			{"os.symlink('/etc/passwd', 'ROOT/a/passwd')", "refused by the gate"},
			{"','.join(sorted(os.listdir('ROOT/a')))", "file,link"},
			{"os.listdir('ROOT/b')", "refused by the gate"},
			{"open('ROOT/b/new', 'w').write('x')", "refused by the gate"},
		} {
			want := try.want
			if want == "done" && os.Getenv(guardEnv) != "" && !changes(newKernel(t)) {
				want = "refused by the kernel"
			}
			if got := attempt(t, c, strings.ReplaceAll(try.what, "ROOT", root)); got != want {
				t.Errorf("%s: %s; want %s", try.what, got, want)
			}
		}
	})
}

// TestReloadedFiles: the gate judges by the new policy at once, while a program runs.
func TestReloadedFiles(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		root := newTree(t)
		a := policy.FileRule{Path: root + "/a", Access: policy.Read}
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os"}, Policy: fileRules(a)})
		posts(t, c, attempts)
		read := "open('" + root + "/a/file').read()"
		if got := attempt(t, c, read); got != publicText {
			t.Fatalf("before: %s", got)
		}
		ended := make(chan error, 1)
		go func() {
			ended <- c.Exec(soon(t), source("post('runs')\nwhile attempt(%s) != 'refused by the gate': pass\npost('over')", pyString(read)))
		}()
		receive := func(want string) {
			t.Helper()
			for {
				item, err := c.Recv(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if string(item.Value.Data) == `"`+want+`"` {
					return
				}
			}
		}
		receive("runs")
		r, err := c.Reload(soon(t), cell.Revision{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Layers) == 0 || r.Layers[0].Name != "guest" || !r.Layers[0].Live {
			t.Errorf("%+v", r)
		}
		receive("over")
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if _, err := c.Reload(soon(t), cell.Revision{Policy: *fileRules(a)}); err != nil {
			t.Fatal(err)
		}
		if got := attempt(t, c, read); got != publicText {
			t.Errorf("given back: %s", got)
		}
		if _, err := c.Reload(soon(t), cell.Revision{Policy: *fileRules(policy.FileRule{Path: "relative"})}); cell.KindOf(err) != cell.Invalid {
			t.Errorf("an invalid policy: %v", err)
		}
	})
}

// TestPolicyOfAddresses: sockets come with a policy that has addresses, and only with it.
func TestPolicyOfAddresses(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		port := listen(t)
		given := connects(port)
		connect := fmt.Sprintf("socket.create_connection(('127.0.0.1', %d), 20).recv(99).decode()", port)
		for _, try := range []struct {
			name       string
			policy     *policy.Policy
			what, want string
		}{
			{"given", given, connect, publicText},
			{"without", nil, connect, "refused by the gate"},
			{"another port", given, "socket.create_connection(('127.0.0.1', 9), 20)", "refused by the kernel"},
			{"served", given, "socket.socket().bind(('127.0.0.1', 0))", "refused by the gate"},
			{"raw", given, "socket.socket(socket.AF_INET, socket.SOCK_RAW)", "refused by the gate"},
			{"packet", given, "socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)", "refused by the gate"},
		} {
			c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os", "socket"}, Policy: try.policy})
			posts(t, c, attempts+"\nimport socket")
			if got := attempt(t, c, try.what); got != try.want {
				t.Errorf("%s: %s: %s; want %s", try.name, try.what, got, try.want)
			}
		}
	})
}
