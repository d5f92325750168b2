package hostile

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// canaries are what one probe must leave alone.
type canaries struct {
	dir     string // anybody may write here
	secret  string // a file that anybody may read
	token   string // what it says
	victim  string // a file that anybody may write
	before  string // the directory's state
	sockets *sockets
}

func newCanaries(t *testing.T) *canaries {
	t.Helper()
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &canaries{dir: dir, secret: filepath.Join(dir, "secret"), victim: filepath.Join(dir, "victim"),
		token: "canary" + strings.ToLower(rand.Text())}
	must(t, os.WriteFile(c.secret, []byte(c.token+"\n"), 0o600))
	must(t, os.WriteFile(c.victim, []byte("unchanged"), 0o600))
	// Not by umask: what holds shall not be the file's mode.
	must(t, os.Chmod(dir, 0o777))
	must(t, os.Chmod(c.secret, 0o644))
	must(t, os.Chmod(c.victim, 0o666))
	old := time.Unix(1_000_000_000, 0)
	must(t, os.Chtimes(c.victim, old, old))
	c.certify(t)
	c.sockets = listen(t, dir)
	c.before = c.state(t)
	return c
}

// certify writes a file that OpenSSL reads, in which the token is a name.
func (c *canaries) certify(t *testing.T) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: c.token}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	path := filepath.Join(c.dir, "certificate")
	must(t, os.WriteFile(path, text, 0o600))
	must(t, os.Chmod(path, 0o644))
}

// users is a line of the machine's, which no cell is told.
func users() string {
	text, _ := os.ReadFile("/etc/passwd")
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// state is all that a guest could change in the directory.
func (c *canaries) state(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(e.Name(), info.Mode(), info.ModTime().UnixNano(), info.Size()))
	}
	// POSIX semaphores and shared memory have a directory of their own.
	shared, _ := filepath.Glob("/dev/shm/*" + filepath.Base(c.dir) + "*")
	text, _ := os.ReadFile(c.victim)
	return strings.Join(slices.Concat(out, shared, []string{string(text)}), "\n")
}

// harm says which canaries died; nil is that all live.
func (c *canaries) harm(t *testing.T, said []byte) (found []string) {
	t.Helper()
	if bytes.Contains(said, []byte(c.token)) {
		found = append(found, "the secret is out")
	}
	if _, what, has := strings.Cut(string(said), escaped); has {
		what, _, _ = strings.Cut(what, `"`)
		found = append(found, "it says: "+what)
	}
	if line := users(); line != "" && bytes.Contains(said, []byte(line)) {
		found = append(found, "the machine's users are out")
	}
	if now := c.state(t); now != c.before {
		found = append(found, "files changed: "+now)
		for _, f := range must1(filepath.Glob("/dev/shm/*" + filepath.Base(c.dir) + "*")) {
			_ = os.Remove(f)
		}
	}
	return append(found, c.sockets.reached()...)
}

// prelude tells the guest where its targets are.
func (c *canaries) prelude(w *world) string {
	s := c.sockets
	return fmt.Sprintf(prelude, c.dir, c.secret, c.victim, escaped, s.tcp, s.tcp6, s.udp, s.udp6, s.abstract, s.path,
		w.bystander.Process.Pid, w.report.HostPID, os.Getpid())
}

// escaped is what a probe says that has got what no guest may have: what comes of that may be no more than its own end.
const escaped = "escaped: "

// attempt takes a failure for an answer, unless the probe itself is wrong.
const prelude = `
DIR, SECRET, VICTIM, ESCAPED = %q, %q, %q, %q
TCP, TCP6, UDP, UDP6 = %d, %d, %d, %d
ABSTRACT, UNIX = %q, %q
BYSTANDER, HOST, NODE = %d, %d, %d
def attempt(f, *args, **named):
    try:
        return f(*args, **named)
    except (NameError, SyntaxError) as error:
        raise
    except Exception as error:
        log("attempt", type(error).__name__ + ": " + str(error)[:200])
def escaped(what):
    post(ESCAPED + what)
def tell(value):
    if value is not None:
        post(value if type(value) in (str, bytes) else repr(value)[:100000])
def steal(opener):
    file = attempt(opener)
    if file is not None:
        tell(attempt(lambda: file.read()))
`

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must1 is for calls that fail only if this file is wrong.
func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
