package capability_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/broker/capability"
)

func TestParseGrant(t *testing.T) {
	for _, c := range []struct {
		text string
		want capability.Grant
	}{
		{"kv", capability.Grant{Capability: "kv"}},
		{"fs.read=/srv/a=b", capability.Grant{Capability: "fs.read", Scope: json.RawMessage(`"/srv/a=b"`)}},
		{`secrets.get=A"B`, capability.Grant{Capability: "secrets.get", Scope: json.RawMessage(`"A\"B"`)}},
		{`http.fetch={"hosts":["a.b"],"rps":2.5,"burst":3,"timeout":"5s","answer_bytes":"64KiB","payload_bytes":9,"concurrency":1}`,
			capability.Grant{Capability: "http.fetch", Scope: json.RawMessage(`{"hosts":["a.b"]}`),
				Limits: capability.Limits{RPS: 2.5, Burst: 3, Timeout: 5 * time.Second, AnswerBytes: 64 << 10, PayloadBytes: 9, Concurrency: 1}}},
		{`kv={"rps":2}`, capability.Grant{Capability: "kv", Limits: capability.Limits{RPS: 2}}},
	} {
		got, err := capability.ParseGrant(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		c.want.Rule = c.text
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
	}
}

func TestBadGrants(t *testing.T) {
	for text, says := range map[string]string{
		"":                          "name",
		"=x":                        "name",
		"FS.read":                   "lower-case",
		"fs..read":                  "not valid",
		"fs.read=":                  "NAME=VALUE",
		"kv={":                      "not valid JSON",
		`kv={"rps":1,"rps":2}`:      `key "rps" is there twice`,
		`kv={"rps":1,"RPS":2}`:      "twice",
		`kv={"RPS":"x"}`:            "", // not a limit: the capability refuses it
		`kv={"rps":-1}`:             "rps is -1; it must be between",
		`kv={"rps":1e7}`:            "between",
		`kv={"timeout":5}`:          `write a string such as "30s"`,
		`kv={"timeout":"2h"}`:       "timeout in seconds is 7200",
		`kv={"answer_bytes":"1MB"}`: `"64KiB"`,
		`kv={"a":1} {}`:             "after top-level value",
		strings.Repeat("a", 70):     "64",
		`kv={"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "}": "deep",
		"kv={\"a\":\"\xff\"}": "UTF-8",
	} {
		_, err := capability.ParseGrant(text)
		if says == "" {
			continue
		}
		if capability.KindOf(err) != capability.Invalid || !strings.Contains(err.Error(), says) {
			t.Errorf("%.60s: error %v does not say %q", text, err, says)
		}
	}
}

func TestParseGrantsJoins(t *testing.T) {
	got, err := capability.ParseGrants([]string{"fs.read=/a", "kv", "fs.read=/b", "fs.read=/c"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || string(got[0].Scope) != `["/a","/b","/c"]` || got[0].Rule != "fs.read" {
		t.Errorf("got %+v", got)
	}
	for _, bad := range [][]string{{"kv", "kv"}, {`fs.read={"roots":["/a"]}`, "fs.read=/b"}} {
		if _, err := capability.ParseGrants(bad); err == nil || !strings.Contains(err.Error(), "one object") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestPackedValues(t *testing.T) {
	v, err := capability.Pack(map[string]any{"path": "/a<b"}, []byte{0, 1, 2})
	if err != nil {
		t.Fatal(err)
	}
	header, body, err := capability.Unpack(v)
	if err != nil || string(header) != `{"path":"/a<b"}` || !bytes.Equal(body, []byte{0, 1, 2}) {
		t.Error(string(header), body, err)
	}
}

func TestArguments(t *testing.T) {
	type args struct {
		Path string `json:"path"`
		capability.Content
	}
	packed, _ := capability.Pack(map[string]any{"path": "p"}, []byte("body"))
	both, _ := capability.Pack(map[string]any{"text": "t"}, []byte("body"))
	for _, c := range []struct {
		name    string
		payload capability.Value
		path    string
		data    string
		has     bool
		fails   string
	}{
		{"text", capability.Value{Data: []byte(`{"path":"p","text":"x"}`)}, "p", "x", true, ""},
		{"base64", capability.Value{Data: []byte(`{"base64":"AAE="}`)}, "", "\x00\x01", true, ""},
		{"empty text", capability.Value{Data: []byte(`{"text":""}`)}, "", "", true, ""},
		{"none", capability.Null(), "", "", false, ""},
		{"nothing", capability.Value{}, "", "", false, ""},
		{"packed", packed, "p", "body", true, ""},
		{"leading space", capability.Value{Data: []byte(strings.Repeat(" ", 20) + `{"path":"p"}`)}, "p", "", false, ""},
		{"both", both, "", "", false, "2 times"},
		{"bad base64", capability.Value{Data: []byte(`{"base64":"*"}`)}, "", "", false, "base64"},
		{"unknown key", capability.Value{Data: []byte(`{"pth":"p"}`)}, "", "", false, "pth"},
		{"duplicate", capability.Value{Data: []byte(`{"path":"p","path":"q"}`)}, "", "", false, "twice"},
		{"duplicate, escaped", capability.Value{Data: []byte(`{"path":"p","p\u0061th":"q"}`)}, "", "", false, "twice"},
		{"duplicate, by case", capability.Value{Data: []byte(`{"path":{"a":["{\"",{}]},"PATH":"q"}`)}, "", "", false, "twice"},
		{"array", capability.Value{Data: []byte(`[]`)}, "", "", false, "payload"},
		{"short", capability.BytesValue([]byte{0, 0}), "", "", false, "4 bytes"},
		{"header too long", capability.BytesValue([]byte{0xff, 0xff, 0xff, 0xff, '{', '}'}), "", "", false, "header has"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var a args
			call := &capability.Call{Request: capability.Request{Payload: c.payload}}
			body, err := call.Arguments(&a)
			var data []byte
			var has bool
			if err == nil {
				data, has, err = a.Bytes(body)
			}
			if c.fails != "" {
				if capability.KindOf(err) != capability.Invalid || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v does not say %q", err, c.fails)
				}
				return
			}
			if err != nil || a.Path != c.path || string(data) != c.data || has != c.has {
				t.Errorf("path %q, data %q %v, error %v", a.Path, data, has, err)
			}
		})
	}
}

func TestEveryKindHasANameAndAWord(t *testing.T) {
	// The vocabulary of package cell, which this package must not import.
	words := map[string]bool{"PolicyDenied": true, "Invalid": true, "GuestError": true, "Timeout": true, "Cancelled": true, "Busy": true, "CellGone": true}
	seen := map[string]bool{}
	for _, k := range capability.Kinds() {
		if !words[k.Word()] || k.String() == "" || seen[k.String()] {
			t.Errorf("kind %d is called %q and means %q", k, k, k.Word())
		}
		seen[k.String()] = true
	}
}

func TestLogRecorder(t *testing.T) {
	var out bytes.Buffer
	r := capability.NewLogRecorder(slog.New(slog.NewTextHandler(&out, nil)), 1)
	at := time.Unix(5000, 0)
	for range 10 {
		r.Record(capability.Record{At: at, Outcome: capability.Denied, Capability: "kv", Rule: "no grant", Message: "m"})
	}
	if got := strings.Count(out.String(), "level=WARN"); got != 2 {
		t.Errorf("%d lines, want the burst of 2", got)
	}
	r.Record(capability.Record{At: at.Add(time.Second), Outcome: capability.Internal, Fault: "f"})
	if !strings.Contains(out.String(), "records_lost=8") || !strings.Contains(out.String(), "level=ERROR") {
		t.Error(out.String())
	}
	r.Record(capability.Record{At: at.Add(time.Hour)})
	if strings.Contains(out.String(), "outcome=OK") {
		t.Error("a good outcome is for debugging only")
	}
}

func FuzzParseGrant(f *testing.F) {
	for _, s := range []string{"kv", "fs.read=/a", `http.fetch={"hosts":["a"],"rps":1}`, "a.b={", "=", `x={"timeout":"1s","answer_bytes":"1KiB"}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := capability.ParseGrant(text)
		if err != nil {
			if capability.KindOf(err) != capability.Invalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if g.Validate() != nil || capability.ValidName("capability", g.Capability) != nil {
			t.Fatalf("%q gave %+v", text, g)
		}
		if len(g.Scope) > 0 && !json.Valid(g.Scope) {
			t.Fatalf("%q gave the scope %q", text, g.Scope)
		}
		again, err := capability.ParseGrant(text)
		if err != nil || cmp.Diff(g, again) != "" {
			t.Fatalf("%q reads differently the second time: %v", text, err)
		}
	})
}

func FuzzArguments(f *testing.F) {
	f.Add(uint8(0), []byte(`{"path":"x","n":3,"text":"a"}`))
	f.Add(uint8(1), []byte("\x00\x00\x00\x02{}body"))
	f.Fuzz(func(t *testing.T, kind uint8, data []byte) {
		var a struct {
			Path string   `json:"path"`
			N    int      `json:"n"`
			List []string `json:"list"`
			capability.Content
		}
		v := capability.Value{Type: capability.ContentType(kind % 2), Data: data}
		call := &capability.Call{Request: capability.Request{Payload: v}}
		body, err := call.Arguments(&a)
		if err == nil {
			_, _, err = a.Bytes(body)
		}
		if err != nil && capability.KindOf(err) != capability.Invalid {
			t.Fatalf("%v", err)
		}
		if len(body) > len(data) {
			t.Fatalf("%d bytes out of %d", len(body), len(data))
		}
	})
}
