package systemtest

import (
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// What a guest's objects run when they go with an operation is a part of it: it is under its limits, and nothing is
// left to run behind its answer.
func TestNothingRunsBehindTheAnswer(t *testing.T) {
	const forever = "  while True:\n   try:\n    while True: pass\n   except BaseException: pass\n"
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for name, src := range map[string]string{ // in all of them f takes for ever, or what it leaves behind
			"a result":                      "class R(list):\n def __del__(self):\n" + forever + "def f(): return R()",
			"a result in bytes":             "class R(bytes):\n def __del__(self):\n" + forever + "def f(): return R(b'x')",
			"a result that is refused":      "class R:\n def __del__(self):\n" + forever + "def f(): return R()",
			"what was called":               "class F:\n def __call__(self): globals().pop('f')\n def __del__(self):\n" + forever + "f = F()",
			"an exception":                  "class E(Exception):\n def __del__(self):\n" + forever + "def f(): raise E",
			"what a traceback holds":        "class A:\n def __del__(self):\n" + forever + "def f():\n a = A()\n raise KeyError",
			"what an exception says":        "class E(Exception):\n def __str__(self):\n" + forever + "def f(): raise E",
			"what an exception's cause is":  "class E(Exception):\n def __getattribute__(self, name):\n" + forever + "def f():\n try: 1 / 0\n except Exception: raise E",
			"what a type of exception says": "try: open('/')\nexcept Exception: pass\nclass M(type):\n def __hash__(self):\n" + forever + "class E(Exception, metaclass=M): pass\ndef f(): raise E",
		} {
			c := spawn(t, l, cell.Spec{Backend: b})
			if err := c.Exec(soon(t), source("%s", src)); err != nil {
				t.Fatalf("%s: %v\n%s", name, err, traceback(err))
			}
			relimit(t, c, cell.Limits{Wall: 200 * time.Millisecond})
			if _, err := c.Call(soon(t), cell.Invocation{Target: "f"}); !errors.Is(err, cell.Timeout) {
				t.Errorf("%s: it ends with %v", name, err)
			}
			relimit(t, c, cell.Limits{})
			if err := c.Exec(soon(t), source("f = 1")); err != nil {
				t.Errorf("%s: the next: %v", name, err)
			}
			if err := c.Close(soon(t)); err != nil {
				t.Errorf("%s: close: %v", name, err)
			}
		}
	})
}
