package systemtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// The matrix holds the document's own evaluator, the guest's gate and the kernel to the same
// verdicts: one cell is given one generated policy after the other, and tries everything under
// each.

// matrix is what policies are generated about.
type matrix struct {
	root  string
	files []string // with the root
	dirs  []string
	peers []netip.AddrPort
}

var matrixNames = []string{"a", "b", "ab"}

// newMatrix makes a tree of files, with a link to each, and servers.
func newMatrix(t *testing.T) *matrix {
	t.Helper()
	root := newTree(t) + "/matrix"
	m := &matrix{root: root}
	mode := func(path string, mode os.FileMode) { // whatever the umask is
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"", "/links", "/t", "/t/a", "/t/b", "/t/ab", "/t/a/b", "/t/a/b/a", "/t/b/a"} {
		if err := os.Mkdir(root+dir, 0o777); err != nil {
			t.Fatal(err)
		}
		mode(root+dir, 0o777)
		if !strings.HasPrefix(dir, "/t/") {
			continue
		}
		m.dirs = append(m.dirs, root+dir)
		for _, name := range []string{"x.csv", "y.key"} {
			path := root + dir + "/" + name
			if err := os.WriteFile(path, []byte(publicText), 0o666); err != nil {
				t.Fatal(err)
			}
			mode(path, 0o666)
			if err := os.Symlink(path, fmt.Sprintf("%s/links/%d", root, len(m.files))); err != nil {
				t.Fatal(err)
			}
			m.files = append(m.files, path)
		}
	}
	for _, address := range []string{"127.0.0.1", "127.0.0.2", "127.0.1.1"} {
		for range 2 {
			m.peers = append(m.peers, serve(t, address))
		}
	}
	return m
}

// tidy removes what was made and could not be renamed or removed.
func (m *matrix) tidy(t *testing.T) {
	t.Helper()
	for _, dir := range m.dirs {
		for _, name := range []string{"/n.csv", "/n.key"} {
			if err := os.Remove(dir + name); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
	}
}

// serve accepts and hangs up.
func serve(t *testing.T, address string) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", address+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

var matrixModules = []string{"json", "json.decoder", "math", "string", "os", "os.path", "collections.abc", "colorsys"}

// document generates one, of few names, so that its rules meet.
func (m *matrix) document(r *rand.Rand) string {
	pick := func(list []string) string { return list[r.IntN(len(list))] }
	var b strings.Builder
	b.WriteString("version: 1.0\nsandboxes:\n  s:\n    fs:\n")
	for range 1 + r.IntN(6) {
		path := m.root + "/t"
		for range r.IntN(4) {
			path += "/" + pick(append([]string{"*", "**", "?", "a*"}, matrixNames...))
		}
		path += pick([]string{"", "", "/**", "/*", "/*.csv", "/**/*.key", "/x.csv"})
		fmt.Fprintf(&b, "      - %s: %q\n", pick([]string{"read", "write", "allow", "allow", "deny"}), path)
	}
	b.WriteString("    net:\n")
	for range 1 + r.IntN(4) {
		address := pick([]string{"127.0.0.0/8", "127.0.0.0/24", "127.0.0.1", "127.0.0.2/31", "127.0.1.0/24", "0.0.0.0/0"})
		if r.IntN(2) == 0 {
			address += fmt.Sprintf(":%d", m.peers[r.IntN(len(m.peers))].Port())
		}
		fmt.Fprintf(&b, "      - %s: %q\n", pick([]string{"connect", "connect", "deny"}), address)
	}
	var modules []string
	for _, name := range matrixModules {
		if r.IntN(3) == 0 {
			modules = append(modules, name)
		}
	}
	fmt.Fprintf(&b, "    imports: [%s]\n", strings.Join(modules, ", "))
	return b.String()
}

// matrixGuest tries a list of things. It has its modules before there is a policy that it
// might lack them by.
const matrixGuest = `
import os, socket
def verdict(what, *args):
    try:
        what(*args)
    except Exception as e:
        name = type(e).__name__
        return {'PolicyDenied': 'gate', 'ImportDenied': 'gate', 'PermissionError': 'kernel'}.get(name, f'{name}: {e}')
    return 'permitted'
def opens(path, mode): os.close(os.open(path, {'r': os.O_RDONLY, 'w': os.O_WRONLY, 'rw': os.O_RDWR}[mode]))
def moves(old, new):
    os.close(os.open(old, os.O_WRONLY | os.O_CREAT, 0o666))
    os.rename(old, new)
    os.unlink(new)
def reaches(host, port): socket.create_connection((host, port), 5).close()
def names(module): exec('import ' + module, {})
ways = {'open': opens, 'move': moves, 'list': os.listdir, 'connect': reaches, 'import': names}
def attempt_all(*tries): return [verdict(ways[way], *args) for way, *args in tries]
`

// try is one thing, and what is expected of it.
type try struct {
	call []any
	// exact is the evaluator's verdict, and loose what a kernel may say that judges prefixes.
	exact, loose bool
	by           string // who judges it: "gate" or "kernel"; "" either
	// stricter: the kernel may refuse it all the same. It does so where a rule's own path would be
	// replaced, and some kernels' programs refuse to make files whatever the path.
	stricter bool
}

// tries lists everything under one policy. prefixes: the kernel knows no globs. makes: its
// programs let files be made.
func (m *matrix) tries(c *document.Compiled, prefixes, makes bool) (list []try) {
	loose, _ := policy.Prefixes(c.Policy.Files)
	path := func(name string, want policy.Access) (exact, approximate bool) {
		exact = c.Explain(document.Query{Path: name, Access: want}).Allowed
		return exact, exact || (prefixes && policy.Judge(loose, name)&want == want)
	}
	for i, name := range m.files {
		for mode, want := range map[string]policy.Access{"r": policy.Read, "rw": policy.Read | policy.Write, "w": policy.Write} {
			exact, approximate := path(name, want)
			list = append(list, try{[]any{"open", name, mode}, exact, exact, "gate", false},
				// The gate permits the link, and the kernel judges where it leads.
				try{[]any{"open", fmt.Sprintf("%s/links/%d", m.root, i), mode}, exact, approximate, "kernel", false})
		}
	}
	for _, name := range m.dirs {
		exact, _ := path(name, policy.Read)
		list = append(list, try{[]any{"list", name}, exact, exact, "gate", false})
	}
	for i, dir := range m.dirs {
		for _, to := range []string{dir + "/n.key", m.dirs[(i+1)%len(m.dirs)] + "/n.csv"} {
			old, _ := path(dir+"/n.csv", policy.Write)
			renamed, _ := path(to, policy.Write)
			list = append(list, try{[]any{"move", dir + "/n.csv", to}, old && renamed, old && renamed, "gate", old && (renamed || !makes)})
		}
	}
	network := "kernel"
	if !c.Policy.Connects() { // the gate knows that much
		network = ""
	}
	for _, peer := range m.peers {
		exact := c.Explain(document.Query{Address: peer}).Allowed
		list = append(list, try{[]any{"connect", peer.Addr().String(), peer.Port()}, exact, exact, network, false})
	}
	for _, name := range matrixModules {
		exact := c.Explain(document.Query{Import: name}).Allowed
		list = append(list, try{[]any{"import", name}, exact, exact, "gate", false})
	}
	return list
}

// wrong says what is wrong with a verdict, "" when nothing is.
func (y try) wrong(got string) string {
	permitted := got == "permitted"
	switch {
	case y.stricter && got == "kernel":
		return ""
	case permitted && !y.loose, !permitted && y.exact:
		return fmt.Sprintf("%v: %s; the evaluator says %t", y.call, got, y.exact)
	case !permitted && got != "gate" && got != "kernel":
		return fmt.Sprintf("%v: %s", y.call, got)
	case got == "kernel" && y.by == "gate":
		return fmt.Sprintf("%v: the gate lets it through", y.call)
	case got == "gate" && y.by == "kernel":
		return fmt.Sprintf("%v: the gate refuses it, and the kernel was not asked", y.call)
	}
	return ""
}

func TestMatrix(t *testing.T) {
	kernel := newKernel(t)
	if !kernel.Facts().Files && kernel.Watches() == "" {
		t.Skip("nothing here judges files by rules that can be replaced")
	}
	policies := 60
	switch {
	case testing.Short():
		policies = 4
	case os.Getenv(guardEnv) != "": // under emulation, perhaps
		policies = 12
	}
	for _, b := range []cell.Backend{cell.SubInterpreter, cell.Process} {
		t.Run(string(b), func(t *testing.T) {
			l := newLauncher(t, launch.Config{Kernel: kernel})
			testMatrix(t, l, b, kernel, policies)
		})
	}
}

func testMatrix(t *testing.T, l *launch.Launcher, b cell.Backend, kernel *enforce.Enforcer, policies int) {
	m := newMatrix(t)
	links := policy.FileRule{Path: m.root + "/links", Access: policy.Read | policy.Write}
	c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"os", "socket"}, Policy: &policy.Policy{Files: []policy.FileRule{links},
		Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}}}})
	posts(t, c, matrixGuest)
	random := rand.New(rand.NewPCG(5, uint64(policies)))
	cases, permitted, moved := 0, 0, 0
	for n := range policies {
		text := m.document(random)
		compiled := compile(t, text)
		if compiled == nil {
			continue
		}
		revision, err := live.Of(c.Spec(), compiled)
		if err != nil {
			t.Fatal(err)
		}
		revision.Policy.Files = append(revision.Policy.Files[:len(revision.Policy.Files):len(revision.Policy.Files)], links)
		if _, err := c.Reload(soon(t), revision); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		tries := m.tries(compiled, kernel.Facts().Files, changes(kernel))
		for i, got := range attemptAll(t, c, tries) {
			cases++
			if got == "permitted" {
				permitted++
				if tries[i].call[0] == "move" {
					moved++
				}
			}
			if wrong := tries[i].wrong(got); wrong != "" {
				t.Errorf("policy %d: %s", n, wrong)
			}
		}
		m.tidy(t)
		if t.Failed() {
			t.Fatalf("under\n%s", text)
		}
	}
	t.Logf("%d cases, of which %d are permitted, %d of them to make, rename and remove", cases, permitted, moved)
	if cases < 50*policies || permitted < cases/20 || permitted > cases*19/20 {
		t.Errorf("%d cases of %d policies, %d permitted: they say little", cases, policies, permitted)
	}
}

// compile returns nil where a generated document asks for what a policy cannot have.
func compile(t *testing.T, text string) *document.Compiled {
	t.Helper()
	d, err := document.Parse("matrix.yml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	c, err := d.Compile("", document.Options{})
	if err != nil {
		t.Logf("not compiled: %v", err)
		return nil
	}
	return c
}

func attemptAll(t *testing.T, c cell.Cell, tries []try) []string {
	t.Helper()
	calls := make([][]any, len(tries))
	for i := range tries {
		calls[i] = tries[i].call
	}
	args, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Call(soon(t), cell.Invocation{Target: "attempt_all", Args: args})
	var got []string
	if err == nil {
		err = json.Unmarshal(v.Data, &got)
	}
	if err != nil || len(got) != len(tries) {
		t.Fatalf("%d verdicts of %d: %v %s", len(got), len(tries), err, traceback(err))
	}
	return got
}
