package subprocess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/jail"
)

func TestMain(m *testing.M) {
	jail.Init()
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, grants ...string) *captest.Session {
	return captest.Open(t, map[string]capability.Capability{Name: New()}, grants...)
}

// needJail skips where the kernel gives no complete jail, and says why.
func needJail(t testing.TB) {
	t.Helper()
	if _, err := jail.Run(context.Background(), jail.Spec{Path: "/usr/bin/true"}); errors.Is(err, capability.Unavailable) {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
}

func run(s *captest.Session, argv []string, more string) (a Answer, err error) {
	v, err := s.Ask(Name, "run", `{"argv":`+captest.JSON(argv)+more+`}`)
	if err == nil {
		err = json.Unmarshal(v.Data, &a)
	}
	return a, err
}

func TestRun(t *testing.T) {
	needJail(t)
	s := open(t, `subprocess.run={"programs":[{"path":"/bin/sh","args":["-c","..."]},"/usr/bin/wc -c"],"env":{"GREETING":"hi"}}`)
	a, err := run(s, []string{"/bin/sh", "-c", "echo $GREETING; echo $1 >&2; exit 3", "sh", "arg"}, "")
	if err != nil || a.Exit != 3 || *a.Stdout.Text != "hi\n" || *a.Stderr.Text != "arg\n" || a.StdoutBytes != 3 || !slices.Contains(a.Layers, "seccomp") {
		t.Errorf("%+v %v", a, err)
	}
	a, err = run(s, []string{"/usr/bin/wc", "-c"}, `,"base64":"AAEC"`)
	if err != nil || strings.TrimSpace(*a.Stdout.Text) != "3" {
		t.Errorf("%+v %v", a, err)
	}
	packed, _ := capability.Pack(map[string]any{"argv": []string{"/bin/sh", "-c", `cat; printf '\377' >&2`}, "raw": true}, []byte{0xfe})
	v, err := s.Do(context.Background(), capability.Request{Capability: Name, Action: "run", Payload: packed})
	if err != nil {
		t.Fatal(err)
	}
	header, body, err := capability.Unpack(v)
	if err != nil || json.Unmarshal(header, &a) != nil || string(body) != "\xfe\xff" || !strings.Contains(string(header), `"stdout_bytes":1,"stderr_bytes":1`) {
		t.Errorf("%s %x %v", header, body, err)
	}
	r := s.Records()[0]
	if r.Target != "/bin/sh" || r.Rule != "subprocess.run=/bin/sh" || strings.Contains(fmt.Sprint(r), "GREETING") {
		t.Errorf("record %+v", r)
	}
}

func TestOutputFitsTheAnswer(t *testing.T) {
	needJail(t)
	s := open(t, `subprocess.run={"programs":["/bin/sh -c ..."],"answer_bytes":"64KiB"}`)
	a, err := run(s, []string{"/bin/sh", "-c", "while :; do echo xxxxxxxxxxx; done"}, "")
	if err != nil || a.Killed != "output" || a.Signal != "SIGKILL" || a.StdoutBytes != (64<<10-headerRoom)/2 {
		t.Errorf("%s %d %v", a.Killed, a.StdoutBytes, err)
	}
	s = open(t, `subprocess.run={"programs":["/bin/sleep 60"],"wall":"50ms"}`)
	if a, err := run(s, []string{"/bin/sleep", "60"}, ""); err != nil || a.Killed != "wall" {
		t.Errorf("%+v %v", a, err)
	}
	s = open(t, `subprocess.run={"programs":["/bin/sleep 60"],"timeout":"50ms"}`)
	_, err = run(s, []string{"/bin/sleep", "60"}, "")
	captest.Want(t, err, capability.Timeout)
	s = open(t, "subprocess.run=/usr/bin/no-such-program")
	_, err = run(s, []string{"/usr/bin/no-such-program"}, "")
	captest.Want(t, err, capability.Failed, "no such file")
}

func TestWhatIsNotGranted(t *testing.T) {
	s := open(t, `subprocess.run={"programs":["/usr/bin/true",{"path":"/usr/bin/wc","args":["re:-[cl]","re:[a-z]+"]},"/usr/bin/env -i ..."]}`)
	for _, c := range []struct {
		argv []string
		kind capability.Kind
		says string
	}{
		{nil, capability.Invalid, "argv"},
		{[]string{"/usr/bin/false"}, capability.Denied, "programs"},
		{[]string{"true"}, capability.Denied, "programs"},
		{[]string{"/usr/bin/../bin/true"}, capability.Denied, "programs"},
		{[]string{"/usr/bin/true "}, capability.Denied, "programs"},
		{[]string{"/usr/bin/true", "x"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc", "-c"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc", "-x", "a"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc", "-c", "a\n"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc", "-c", "a/b"}, capability.Denied, "args"},
		{[]string{"/usr/bin/wc", "-c", "a", "b"}, capability.Denied, "args"},
		{[]string{"/usr/bin/env", "sh"}, capability.Denied, "args"},
		{append([]string{"/usr/bin/env", "-i"}, make([]string, 300)...), capability.Invalid, "256"},
		{[]string{"/usr/bin/env", "-i", strings.Repeat("x", 129<<10)}, capability.TooLarge, ""},
		{[]string{"/usr/bin/env", "-i", "a\x00b"}, capability.Invalid, "NUL"},
	} {
		_, err := run(s, c.argv, "")
		captest.Want(t, err, c.kind, c.says)
	}
	_, err := run(s, []string{"/usr/bin/true"}, `,"env":{"LD_PRELOAD":"x"}`)
	captest.Want(t, err, capability.Invalid, "env")
	_, err = s.Ask(Name, "exec", "")
	captest.Want(t, err, capability.Invalid)
}

func TestBadGrants(t *testing.T) {
	s := open(t, "subprocess.run=/usr/bin/true")
	for _, bad := range []string{`{}`, "true", "/", "/usr/../bin/true", "/proc/self/exe -x ...x ... y", `{"programs":[{"path":"/bin/a","args":["...","x"]}]}`,
		`{"programs":[{"path":"/bin/a","args":["re:("]}]}`, `{"programs":[{"path":"/bin/a","argv":[]}]}`, `{"programs":[{"args":[]}]}`, `{"programs":[""]}`,
		`{"programs":["/bin/a"],"jail":"none"}`, `{"programs":["/bin/a"],"env":{"A=B":"c"}}`, `{"programs":["/bin/a"],"env":{"A":"\u0000"}}`,
		`{"programs":["/bin/a"],"files":-1}`, `{"programs":["/bin/a"],"read_only":["/"]}`, `{"programs":["/bin/a"],"read_only":["/proc"]}`,
		`{"programs":["/bin/a"],"output_bytes":"1GiB"}`} {
		_, err := s.TryAs("t", "c", Name+"="+bad)
		captest.Want(t, err, capability.Invalid)
	}
	if _, err := s.TryAs("t", "c", `subprocess.run={"programs":["/bin/a"],"jail":"strict","memory":"64MiB","cpu":"2s","tmp":"1MiB","processes":4}`); err != nil {
		t.Error(err)
	}
}

// FuzzGrant: an entry that is read allows what it says, and no more words than that.
func FuzzGrant(f *testing.F) {
	for _, s := range []string{`"/bin/a b ..."`, `{"path":"/bin/a","args":["re:x+","y"]}`, `"..."`, `{"path":"/a","args":["..."]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var p program
		if json.Unmarshal(data, &p) != nil {
			return
		}
		argv := []string{p.Path}
		for _, arg := range p.patterns {
			if arg.re != nil {
				return // no word of it is known
			}
			argv = append(argv, arg.text)
		}
		if !p.allows(argv) {
			t.Fatalf("%s does not allow %q", data, argv)
		}
		if p.allows(append(argv, "more")) != p.open {
			t.Fatalf("%s allows one more: %v", data, !p.open)
		}
	})
}
