package systemtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/clock"
	"github.com/pyisolate/pyisolate/broker/capability/files"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/random"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// asked is one request as the node sees it, unpacked.
type asked struct {
	name   string // capability and action
	header string // the payload's JSON
	body   string // what a packed payload carries
	packed bool
}

// script answers requests in their order and keeps what was asked.
type script struct {
	mu      sync.Mutex
	asked   []asked
	answers []answer
}

type answer struct {
	value capability.Value
	err   *cell.Error
}

func (s *script) request(q cell.Request) (cell.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := asked{name: q.Capability + " " + q.Action, header: string(q.Payload.Data)}
	if q.Payload.Type == cell.Bytes {
		header, body, err := capability.Unpack(capability.BytesValue(q.Payload.Data))
		if err != nil {
			return cell.Value{}, cell.Errorf(cell.Invalid, "%v", err)
		}
		a = asked{a.name, string(header), string(body), true}
	}
	s.asked = append(s.asked, a)
	if len(s.answers) == 0 {
		return cell.Value{}, cell.Errorf(cell.PolicyDenied, "no answer is left for %s", a.name)
	}
	next := s.answers[0]
	s.answers = s.answers[1:]
	if next.err != nil {
		return cell.Value{}, next.err
	}
	return cell.Value{Type: cell.ContentType(next.value.Type), Data: next.value.Data}, nil
}

// requests returns what was asked so far.
func (s *script) requests() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func jsonAnswer(text string) answer {
	return answer{value: capability.Value{Type: capability.JSON, Data: []byte(text)}}
}

func bytesAnswer(text string) answer { return answer{value: capability.BytesValue([]byte(text))} }

func packedAnswer(t *testing.T, header, body string) answer {
	t.Helper()
	v, err := capability.Pack(json.RawMessage(header), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return answer{value: v}
}

func failure(kind cell.Kind, word, message string) answer {
	return answer{err: &cell.Error{Kind: kind, Type: word, Message: message}}
}

// Each call asks for what docs/capabilities.md says, and returns what it says is
// answered. The cells may import nothing.
func TestHelpersSpeakTheCapabilitiesFormats(t *testing.T) {
	const page = `{"type":"file","size":1,"modified_ns":2}`
	type exchange struct {
		asked
		answer
	}
	on := func(name, header string, a answer) exchange { return exchange{asked{name: name, header: header}, a} }
	with := func(name, header, body string, a answer) exchange {
		return exchange{asked{name, header, body, true}, a}
	}
	null := jsonAnswer("null")
	cases := []struct {
		name, code string
		exchanges  []exchange
		posted     string
	}{
		{"read", `post(files.read("/a"))`, []exchange{on("fs.read get", `{"path":"/a"}`, bytesAnswer("\x00\xff"))}, "\x00\xff"},
		{"read a range", `post(files.read("/a", 0, length=2))`,
			[]exchange{on("fs.read get", `{"path":"/a","offset":0,"length":2}`, bytesAnswer("ab"))}, "ab"},
		{"read text", `post(files.read_text("/a"))`, []exchange{on("fs.read get", `{"path":"/a"}`, bytesAnswer("é"))}, `"é"`},
		{"stat", `post(files.stat("/a"))`, []exchange{on("fs.read stat", `{"path":"/a"}`, jsonAnswer(page))}, page},
		{"exists", `post([files.exists("/a"), files.exists("/b")])`, []exchange{
			on("fs.read stat", `{"path":"/a"}`, jsonAnswer(page)),
			on("fs.read stat", `{"path":"/b"}`, failure(cell.GuestError, "NotFound", "/b does not exist"))}, "[true,false]"},
		{"list in pages", `post([e["name"] for e in files.list("/d")])`, []exchange{
			on("fs.list list", `{"path":"/d"}`, jsonAnswer(`{"entries":[{"name":"a"},{"name":"b"}],"more":true}`)),
			on("fs.list list", `{"path":"/d","after":"b"}`, jsonAnswer(`{"entries":[{"name":"c"}],"more":false}`))}, `["a","b","c"]`},
		{"list of a page without room", `post(files.list("/d"))`,
			[]exchange{on("fs.list list", `{"path":"/d"}`, jsonAnswer(`{"entries":[],"more":true}`))}, `[]`},
		{"write bytes", `post(files.write("/a", bytearray(b"\x00\xff")))`,
			[]exchange{with("fs.write put", `{"path":"/a"}`, "\x00\xff", jsonAnswer(`{"size":2}`))}, "2"},
		{"write text", `post(files.write("/a", "é", exclusive=True, sync=True))`,
			[]exchange{with("fs.write put", `{"path":"/a","exclusive":true,"sync":true}`, "é", jsonAnswer(`{"size":2}`))}, "2"},
		{"write nothing", `post(files.write("/a", b""))`, []exchange{with("fs.write put", `{"path":"/a"}`, "", jsonAnswer(`{"size":0}`))}, "0"},
		{"append", `post(files.append("/a", b"x"))`, []exchange{with("fs.write append", `{"path":"/a"}`, "x", jsonAnswer(`{"size":9}`))}, "9"},
		{"mkdir, delete", `post([files.mkdir("/d"), files.delete("/d")])`,
			[]exchange{on("fs.write mkdir", `{"path":"/d"}`, null), on("fs.write delete", `{"path":"/d"}`, null)}, "[null,null]"},
		{"http get", `r = http.get("https://h/", headers={"Accept": "x"})
post([r.status, r.ok, r.url, r.headers, r.content.hex(), r.text, repr(r)])`,
			[]exchange{on("http.fetch fetch", `{"url":"https://h/","method":"GET","headers":{"Accept":"x"},"raw":true}`, packedAnswer(t,
				`{"status":404,"url":"https://h/x","headers":{"Content-Type":["text/plain; Charset=\"latin-1\""],"Vary":["a","b"]}}`, "\xe9"))},
			`[404,false,"https://h/x",{"content-type":"text/plain; Charset=\"latin-1\"","vary":"a, b"},"e9","é","<Response 404, 1 bytes>"]`},
		{"http post json", `r = http.post("http://h", json={"n": 1}, follow=False)
post([r.ok, r.url, r.json(), r.text])`,
			[]exchange{with("http.fetch fetch",
				`{"url":"http://h","method":"POST","headers":{"Content-Type":"application/json"},"raw":true,"follow":false}`, `{"n":1}`,
				packedAnswer(t, `{"status":200,"headers":{"Content-Type":["x; charset=no-such"]}}`, `{"a":[1.5]}`))},
			`[true,"http://h",{"a":[1.5]},"{\"a\":[1.5]}"]`},
		{"http put, and a content type", `http.put("http://h", b"\xff")
http.patch("http://h", json=0, headers={"content-type": "a/b"})
post(http.delete("http://h").content)`, []exchange{
			with("http.fetch fetch", `{"url":"http://h","method":"PUT","headers":{},"raw":true}`, "\xff", packedAnswer(t, `{"status":201,"headers":{}}`, "")),
			with("http.fetch fetch", `{"url":"http://h","method":"PATCH","headers":{"content-type":"a/b"},"raw":true}`, "0", packedAnswer(t, `{"status":204,"headers":{}}`, "")),
			on("http.fetch fetch", `{"url":"http://h","method":"DELETE","headers":{},"raw":true}`, packedAnswer(t, `{"status":200,"headers":{}}`, "gone"))}, "gone"},
		{"kv get", `post([kv.get("a").hex(), kv.get("b"), kv.get("b", "default")])`, []exchange{
			on("kv get", `{"key":"a"}`, bytesAnswer("\x00")), on("kv get", `{"key":"b"}`, null), on("kv get", `{"key":"b"}`, null)}, `["00",null,"default"]`},
		{"kv put, delete", `post([kv.put("a", "v"), kv.delete("a")])`,
			[]exchange{with("kv put", `{"key":"a"}`, "v", null), on("kv delete", `{"key":"a"}`, jsonAnswer(`{"deleted":true}`))}, "[null,true]"},
		{"kv cas", `post([kv.cas("a", None, b"1"), kv.cas("a", "1", b"\xff\xfe"), kv.cas("a", b"\xff\xfe", None)])`, []exchange{
			with("kv cas", `{"key":"a","expect":null}`, "1", jsonAnswer(`{"swapped":true}`)),
			with("kv cas", `{"key":"a","expect":{"text":"1"}}`, "\xff\xfe", jsonAnswer(`{"swapped":true}`)),
			on("kv cas", `{"key":"a","expect":{"base64":"//4="},"delete":true}`, jsonAnswer(`{"swapped":false}`))}, "[true,true,false]"},
		{"base64 of every length", `for n in range(4): kv.cas("a", b"\xff\xfa\x9b\x01"[:n + 1], None)
post(0)`, []exchange{
			on("kv cas", `{"key":"a","expect":{"base64":"/w=="},"delete":true}`, jsonAnswer(`{"swapped":false}`)),
			on("kv cas", `{"key":"a","expect":{"base64":"//o="},"delete":true}`, jsonAnswer(`{"swapped":false}`)),
			on("kv cas", `{"key":"a","expect":{"base64":"//qb"},"delete":true}`, jsonAnswer(`{"swapped":false}`)),
			on("kv cas", `{"key":"a","expect":{"base64":"//qbAQ=="},"delete":true}`, jsonAnswer(`{"swapped":false}`))}, "0"},
		{"kv list in pages", `post([kv.list("p"), kv.list()])`, []exchange{
			on("kv list", `{"prefix":"p"}`, jsonAnswer(`{"keys":[{"key":"p1","size":1}],"more":true}`)),
			on("kv list", `{"prefix":"p","after":"p1"}`, jsonAnswer(`{"keys":[{"key":"p2","size":1}],"more":false}`)),
			on("kv list", `{}`, jsonAnswer(`{"keys":[],"more":false}`))}, `[["p1","p2"],[]]`},
		{"kv usage", `post(kv.usage())`, []exchange{on("kv usage", "null", jsonAnswer(`{"keys":1}`))}, `{"keys":1}`},
		{"secrets", `post([secrets.get("T"), secrets.get("B").hex(), secrets.list()])`, []exchange{on("secrets.get get", `{"name":"T"}`, jsonAnswer(`"s3cret"`)),
			on("secrets.get get", `{"name":"B"}`, bytesAnswer("\xff")), on("secrets.get list", "null", jsonAnswer(`["B","T"]`))}, `["s3cret","ff",["B","T"]]`},
		{"clock", `post([clock.now(), clock.now_ns(), clock.monotonic_ns(), clock.monotonic()])`, []exchange{
			on("clock now", "null", jsonAnswer(`{"unix_ns":1500000000,"rfc3339":""}`)), on("clock now", "null", jsonAnswer(`{"unix_ns":7,"rfc3339":""}`)),
			on("clock monotonic", "null", jsonAnswer(`{"ns":8}`)), on("clock monotonic", "null", jsonAnswer(`{"ns":250000000}`))}, "[1.5,7,8,0.25]"},
		{"random", `post(random.bytes(3))`, []exchange{on("random bytes", `{"n":3}`, bytesAnswer("\x01\x02\xff"))}, "\x01\x02\xff"},
		{"run", `r = run(("/bin/wc", "-c"), "in")
post([r.exit, r.signal, r.killed, r.stdout.decode(), r.stderr.decode(), r.duration_ms])`,
			[]exchange{with("subprocess.run run", `{"argv":["/bin/wc","-c"],"raw":true}`, "in", packedAnswer(t,
				`{"exit":-1,"signal":"SIGKILL","killed":"wall","stdout_bytes":3,"stderr_bytes":2,"duration_ms":5,"layers":[]}`, "outer"))},
			`[-1,"SIGKILL","wall","out","er",5]`},
		{"run without input", `post(run(["/bin/true"]).exit)`, []exchange{on("subprocess.run run", `{"argv":["/bin/true"],"raw":true}`,
			packedAnswer(t, `{"exit":0,"stdout_bytes":0,"stderr_bytes":0,"duration_ms":1,"layers":[]}`, ""))}, "0"},
	}
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				s, want := &script{}, []asked{}
				for _, e := range c.exchanges {
					s.answers, want = append(s.answers, e.answer), append(want, e.asked)
				}
				guest := spawn(t, l, cell.Spec{Backend: b, Sink: &recorder{answer: s.request}})
				got := posts(t, guest, "from pyisolate_guest import files, http, kv, secrets, clock, random, run\n"+c.code)
				if len(got) != 1 || got[0] != c.posted {
					t.Errorf("posted %q, want %q", got, c.posted)
				}
				if asked := s.requests(); !slices.Equal(asked, want) {
					t.Errorf("asked %+v\nwant  %+v", asked, want)
				}
			})
		}
	})
}

// What a request fails with is an exception of the vocabulary that knows the broker's
// word; those of files are what a program that opens files catches.
func TestFailedRequestsRaise(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		for _, c := range []struct {
			name, code string
			fails      answer
			caught     string // what except names
			says       string // class, kind, message
		}{
			{"a missing file", `files.read("/a")`, failure(cell.GuestError, "NotFound", "/a does not exist"), "FileNotFoundError", "FileNotFound NotFound /a does not exist"},
			{"its own class", `files.read("/a")`, failure(cell.GuestError, "NotFound", "no"), "g.FileNotFound", "FileNotFound NotFound no"},
			{"a conflict", `files.write("/a", "")`, failure(cell.GuestError, "Conflict", "no"), "OSError", "FileError Conflict no"},
			{"as the vocabulary", `files.mkdir("/a")`, failure(cell.GuestError, "Failed", "no"), "g.RequestFailed", "FileError Failed no"},
			{"a denied file", `files.read("/a")`, failure(cell.PolicyDenied, "Denied", "no"), "g.PolicyDenied", "PolicyDenied Denied no"},
			{"a missing secret", `secrets.get("a")`, failure(cell.GuestError, "NotFound", "no"), "g.RequestFailed", "RequestFailed NotFound no"},
			{"a quota", `kv.put("a", "")`, failure(cell.GuestError, "Quota", "no"), "g.CellError", "RequestFailed Quota no"},
			{"too large", `kv.get("a")`, failure(cell.Invalid, "TooLarge", "no"), "g.Invalid", "Invalid TooLarge no"},
			{"busy", `http.get("")`, failure(cell.Busy, "Busy", "no"), "g.Busy", "Busy Busy no"},
			{"cancelled", `run([])`, failure(cell.Cancelled, "Cancelled", "no"), "g.RequestFailed", "RequestFailed Cancelled no"},
			{"without a word", `request("a", "b")`, failure(cell.GuestError, "", "no"), "g.RequestFailed", "RequestFailed None no"},
			{"of request itself", `request("a", "b")`, failure(cell.GuestError, "Unavailable", "no"), "g.RequestFailed", "RequestFailed Unavailable no"},
		} {
			t.Run(c.name, func(t *testing.T) {
				s := &script{answers: []answer{c.fails, c.fails}}
				guest := spawn(t, l, cell.Spec{Backend: b, Sink: &recorder{answer: s.request}})
				got := posts(t, guest, "import pyisolate_guest as g\nfrom pyisolate_guest import files, http, kv, secrets, run\ntry: "+c.code+
					"\nexcept "+c.caught+" as e: post(f'{type(e).__name__} {e.kind} {e}')")
				if want := `"` + c.says + `"`; len(got) != 1 || got[0] != want {
					t.Errorf("the guest caught %q, want %q", got, want)
				}
				// Uncaught, it leaves as the kind it came in with, or as an error of the guest's.
				err := guest.Exec(soon(t), source("%s", c.code))
				var e *cell.Error
				want := c.fails.err.Kind
				if want == cell.Cancelled {
					want = cell.GuestError
				}
				if !errors.As(err, &e) || e.Kind != want || e.Type != strings.Fields(c.says)[0] || strings.Contains(e.Traceback, "<pyisolate") ||
					strings.Contains(e.Traceback, "During handling") {
					t.Errorf("uncaught: %v\n%s", err, traceback(err))
				}
			})
		}
	})
}

// The helpers are there when they are asked for, in a thread's interpreter not before, and
// leave nothing in reach that a guest may not have.
func TestHelpersLoadWhenAskedFor(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"sys"}, Sink: &recorder{}})
		got := posts(t, c, `import sys, pyisolate_guest as g
before, names = set(sys.modules), set(vars(g))
post("_Files" in names)
post(g.files is g.files)
post("_Files" in vars(g))
post(sorted(set(sys.modules) - before))
modules = [n for n, v in vars(g).items() if type(v) is type(sys) and n not in names]
post(modules)
post(hasattr(g, "no_such_name"))`)
		if want := fmt.Sprint(b == cell.Process, " true true [] [] false"); strings.Join(got, " ") != want {
			t.Errorf("posted %q, want %s", got, want)
		}
		if err := c.Exec(soon(t), source("from pyisolate_guest import sockets")); err == nil || !strings.Contains(err.Error(), "cannot import name 'sockets'") {
			t.Errorf("a name that is not there: %v", err)
		}
		if got := posts(t, c, `held = g.files; g._c.load("effects"); post(held is g.files)`); got[0] != "true" {
			t.Error("guest code can have them loaded once more")
		}
		const ownCode = "code = type((lambda: 0).__code__)\n" +
			"g.run(map(code, *[[v] for v in [0, 0, 0, 0, 0, 0, b'', (), (), (), '', '', '', 0, b'', b'']]))"
		if err := c.Exec(soon(t), source("%s", ownCode)); !errors.Is(err, cell.PolicyDenied) || !strings.Contains(err.Error(), "code.__new__") {
			t.Errorf("code objects made inside a helper: %v", err)
		}
		if err := c.Exec(soon(t), source("g.files.read('/a')")); !errors.Is(err, cell.PolicyDenied) {
			t.Errorf("an ungranted request: %v", err)
		}
		for _, bad := range []string{"g.files.write('/a', 5)", "g.kv.put('a', [1])", "g.http.post('u', b'', json=1)"} {
			var e *cell.Error
			if err := c.Exec(soon(t), source("%s", bad)); !errors.As(err, &e) || e.Type != "TypeError" {
				t.Errorf("%s: %v", bad, err)
			}
		}
	})
}

// As much as one value carries goes both ways as it is.
func TestHelpersCarryLargeData(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		data := bytes.Repeat([]byte{0, 255, '"', 10}, 200_000)
		s := &script{answers: []answer{jsonAnswer(`{"size":800000}`), packedAnswer(t, `{"status":200,"headers":{}}`, string(data))}}
		c := spawn(t, l, cell.Spec{Backend: b, Sink: &recorder{answer: s.request}})
		got := posts(t, c, `from pyisolate_guest import files, http
data = bytes([0, 255, 34, 10]) * 200_000
files.write("/a", data)
post(http.get("u").content == data)
try: files.write("/a", bytes(1 << 20))
except ValueError as error: post(str(error))`)
		if len(got) != 2 || got[0] != "true" || !strings.Contains(got[1], "message limit of 1048576 bytes") {
			t.Errorf("posted %q", got)
		}
		if asked := s.requests(); len(asked) != 2 || asked[0].body != string(data) {
			t.Errorf("%d requests; the file does not arrive as it left", len(asked))
		}
	})
}

// The helpers and the capabilities themselves agree: nothing in between is made up.
func TestHelpersReachTheCapabilities(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		store, err := kv.Open(filepath.Join(t.TempDir(), "kv"), kv.Config{})
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		broker := captest.Open(t, map[string]capability.Capability{
			files.ReadName: files.Read(), files.ListName: files.List(), files.WriteName: files.Write(), kv.Name: store,
			secrets.Name: secrets.New(secrets.Static{"TOKEN": "s3cret"}), clock.Name: clock.New(), random.Name: random.New(),
		}, "fs.read="+dir, "fs.list="+dir, "fs.write="+dir, "kv", "secrets.get=TOKEN", "secrets.get=NONE", "clock", "random")
		sink := &recorder{answer: func(q cell.Request) (cell.Value, error) {
			return effect.Serve(context.Background(), broker.Session, q)
		}}
		c := spawn(t, l, cell.Spec{Backend: b, Sink: sink})
		got := posts(t, c, fmt.Sprintf(`import pyisolate_guest as g
from pyisolate_guest import files, kv, secrets, clock, random
d = %q
def kind(do, *args, **more):
    try: do(*args, **more)
    except g.RequestFailed as e: return f"{type(e).__name__} {e.kind}"
    except g.CellError as e: return type(e).__name__
files.mkdir(d + "/sub")
post([files.write(d + "/a", b"\xff\x00"), files.append(d + "/a", "x"), files.read(d + "/a").hex(), files.read(d + "/a", 1, 1).hex()])
post([[e["name"], e["type"], e["size"]] for e in files.list(d) if e["name"] == "a"])
post([files.stat(d + "/sub")["type"], files.exists(d + "/none"), len(files.list(d))])
post([kind(files.read, d + "/none"), kind(files.read, d + "/sub"), kind(files.write, d + "/a", "", exclusive=True), kind(files.read, "/etc/passwd")])
files.delete(d + "/a")
post(files.exists(d + "/a"))
post([kv.cas("k", None, b"\xff\xfe"), kv.cas("k", b"\xff\xfe", "text"), kv.cas("k", "text", b""), kv.cas("k", b"x", None), kv.get("k") == b""])
for i in range(250): kv.put(f"many/{i:03}", str(i))
post([len(kv.list("many/")), kv.list("many/")[-1], kv.get("many/007").decode(), kv.delete("k"), kv.get("k"), kv.usage()["keys"]])
post([secrets.get("TOKEN"), secrets.list(), kind(secrets.get, "NONE"), kind(secrets.get, "OTHER")])
post([clock.now() > 1e9, clock.monotonic_ns() <= clock.monotonic_ns(), len(random.bytes(65536)), kind(random.bytes, 0)])`, dir))
		want := []string{
			`[2,3,"ff0078","00"]`, `[["a","file",3]]`, `["directory",false,2]`,
			`["FileNotFound NotFound","FileError Conflict","FileError Conflict","PolicyDenied"]`, `false`,
			`[true,true,true,false,true]`, `[250,"many/249","7",true,null,250]`,
			`["s3cret",["NONE","TOKEN"],"RequestFailed NotFound","PolicyDenied"]`, `[true,true,65536,"Invalid"]`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("posted %s\nwant   %s", strings.Join(got, "\n       "), strings.Join(want, "\n       "))
		}
	})
}
