package notify

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// pythonProgram does with files what programs do, in a directory that it may write and one
// that it may not even read.
const pythonProgram = `
import os, pathlib, shutil, sqlite3, sys, tempfile, threading, zipfile
a, b = sys.argv[1:]
def refused(f, *args):
    try: f(*args)
    except PermissionError: return
    raise SystemExit(f'{f} {args} is not refused')
with open(a + '/text', 'x') as f: f.write('one'); f.flush(); os.fsync(f.fileno())
with open(a + '/text', 'a+') as f: f.write('two'); f.seek(0); assert f.read() == 'onetwo'
os.chdir(a)
os.makedirs('deep/er/still'); pathlib.Path('deep/file').write_bytes(b'x' * 100000)
os.rename('deep/file', 'deep/er/file'); pathlib.Path('deep/other').touch(); assert os.path.getsize('deep/er/file') == 100000
assert sorted(os.listdir('deep')) == ['er', 'other'] and len(list(os.walk('deep'))) == 3
os.truncate('deep/er/file', 5); assert pathlib.Path('deep/er/file').read_bytes() == b'xxxxx'
shutil.copyfile('deep/er/file', 'copy'); os.replace('copy', 'text'); os.unlink('text')
fd = os.open('deep', os.O_RDONLY); os.close(os.open('er/file', os.O_RDWR, dir_fd=fd)); os.unlink('other', dir_fd=fd); os.close(fd)
shutil.rmtree('deep'); assert not os.path.exists('deep')
with tempfile.TemporaryDirectory(dir=a) as d, tempfile.TemporaryFile(dir=d) as f: f.write(b'x')
with zipfile.ZipFile('z', 'w') as z: z.writestr('x', 'y')
db = sqlite3.connect('db'); db.execute('create table t(x)'); db.execute('insert into t values (7)'); db.commit(); db.close()
assert sqlite3.connect('db').execute('select x from t').fetchone() == (7,)
ts = [threading.Thread(target=lambda: [open('z', 'rb').close() for _ in range(50)]) for _ in range(4)]
[t.start() for t in ts]; [t.join() for t in ts]
for f, args in [(open, (b + '/file',)), (open, (b + '/new', 'w')), (os.mkdir, (b + '/x',)), (os.unlink, (b + '/file',)),
    (os.rename, (b + '/file', 'stolen')), (os.rename, ('z', b + '/z')), (os.link, ('z', 'y')), (os.symlink, ('z', 'y')), (os.listdir, (b,)), (os.truncate, (b + '/file', 0)),
    (os.chmod, ('z', 0o777)), (os.mkfifo, ('p',)), (open, ('../b/file',)), (open, ('/proc/self/mem',))]: refused(f, *args)
print('done')
`

// TestPython runs a Python of the machine under a supervisor, all of its threads.
func TestPython(t *testing.T) {
	told, err := exec.Command("python3", "-c", "import sys; print(sys.executable); print(sys.base_prefix)").Output()
	if err != nil {
		t.Skipf("there is no python3 on this machine: %v", err)
	}
	python := strings.Fields(string(told))
	s := supervisor(t, Options{Denied: func(d Denial) { t.Logf("%+v", d) }})
	tr := newTree(t)
	rules := []policy.FileRule{{Path: tr.at("a"), Access: rw}, {Path: os.DevNull, Access: rw}}
	paths := []string{"/usr", "/lib", "/lib64", "/etc"}
	if !slices.Contains(paths, python[1]) {
		paths = append(paths, python[1])
	}
	for _, path := range paths {
		rules = append(rules, policy.FileRule{Path: path, Access: r})
	}
	c := exec.Command(python[0], "-I", "-c", pythonProgram, tr.at("a"), tr.at("b"))
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err = onThread(s, Target{Rules: compiled(t, rules...)}, func(watched *Watched) error {
		defer func() { t.Logf("%+v", watched.Counts()) }()
		return c.Run()
	})
	if errors.Is(err, errNoListener) {
		t.Skip(err)
	}
	if err != nil || strings.TrimSpace(out.String()) != "done" {
		t.Errorf("%v\n%s", err, &out)
	}
	tr.unharmed(t)
}
