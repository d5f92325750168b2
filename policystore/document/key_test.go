package document_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// atLeast is a plug-in's key: a number that the memory of a cell must reach.
type atLeast struct{ name string }

func (k atLeast) Name() string          { return k.name }
func (atLeast) Schema() json.RawMessage { return json.RawMessage(`{"type": "integer"}`) }
func (atLeast) Decode(value json.RawMessage) (any, error) {
	var n int64
	err := json.Unmarshal(value, &n)
	return n, err
}
func (atLeast) Enforce(value any, s *cell.Spec) error {
	if s.Limits.WithDefaults().Memory < value.(int64) {
		return errors.New("too little memory")
	}
	s.Name = "seen"
	return nil
}

func keysOf(t *testing.T, keys ...document.Key) *document.Keys {
	t.Helper()
	k, err := document.NewKeys(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeys(t *testing.T) {
	k := keysOf(t, atLeast{"memory-floor"})
	for name, c := range map[string]struct{ keys, err string }{
		"a value":        {"x-memory-floor: 1000", ""},
		"a wrong value":  {"x-memory-floor: lots", "cannot unmarshal string"},
		"nearly":         {"x-memory-flor: 1", "did you mean memory-floor?"},
		"another":        {"x-gpu: 1", "this program has x-memory-floor"},
		"an unclear one": {"x-memory-floor: yes", "a truth value to others"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := document.Parse("p.yml", []byte(sandboxOf(c.keys)))
			var compiled *document.Compiled
			if err == nil {
				compiled, err = d.Compile("a", document.Options{Keys: k})
			}
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if err == nil && compiled.Extra["memory-floor"] != int64(1000) {
				t.Errorf("%v", compiled.Extra)
			}
		})
	}
	if diff := cmp.Diff([]string{"memory-floor"}, k.Names()); diff != "" {
		t.Error(diff)
	}
	for _, keys := range [][]document.Key{{atLeast{"a"}, atLeast{"a"}}, {atLeast{"A"}}, {atLeast{"x y"}}, {atLeast{""}}, {atLeast{strings.Repeat("a", 65)}}} {
		if _, err := document.NewKeys(keys...); err == nil {
			t.Errorf("%v are taken", keys)
		}
	}
}

// The value counts for the hash, a child's replaces its parent's, and the schema has it.
func TestKeysAreOfTheMeaning(t *testing.T) {
	k := keysOf(t, atLeast{"floor"})
	d := parse(t, "version: 1.0\ndefaults: {x-floor: 1}\nsandboxes: {a: {}, b: {x-floor: 2}, c: {x-floor: 1}}\n")
	of := map[string]*document.Compiled{}
	for _, name := range d.Sandboxes() {
		c, err := d.Compile(name, document.Options{Keys: k})
		if err != nil {
			t.Fatal(err)
		}
		of[name] = c
	}
	if of["a"].Hash == of["b"].Hash || of["a"].Hash != of["c"].Hash || of["b"].Extra["floor"] != int64(2) {
		t.Errorf("%v %v", of["a"].Extra, of["b"].Extra)
	}
	if got := document.Diff(of["a"], of["b"]).String(); got != "~ x-floor: 1 → 2\n" {
		t.Error(got)
	}
	v := schemaOf(t, k)
	for text, want := range map[string]bool{"x-floor: 1": true, "x-floor: []": false, "x-other: 1": false} {
		if err := v.check(v.root, asJSON(t, sandboxOf(text)), ""); (err == nil) != want {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestApply(t *testing.T) {
	k := keysOf(t, atLeast{"floor"})
	apply := func(keys string, s cell.Spec) (cell.Spec, error) {
		c, err := parse(t, sandboxOf(keys)).Compile("", document.Options{Keys: k})
		if err != nil {
			t.Fatal(err)
		}
		err = c.Apply(&s)
		return s, err
	}
	s, err := apply("imports: [math], mem: 64MiB, backend: process, numa: 1, fs: [{read: /a}], x-floor: 1000", cell.Spec{Imports: []string{"*"}, NUMA: "auto"})
	if err != nil || s.Name != "seen" || s.Backend != cell.Process || s.NUMA != "1" || s.Limits.Memory != 64<<20 || len(s.Imports) != 1 || len(s.Policy.Files) != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if s, err = apply("backend: subinterpreter", cell.Spec{Backend: cell.Process, NUMA: "2"}); err != nil || s.Backend != cell.Process || s.NUMA != "2" || s.Policy == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err = apply("mem: 4MiB, x-floor: 100000000", cell.Spec{}); err == nil || !strings.Contains(err.Error(), "enforce x-floor: too little memory") {
		t.Error(err)
	}
}

// Hash is of the meaning: of all that layers enforce, and of no places and forms.
func TestHash(t *testing.T) {
	base := compile(t, sandboxOf("imports: [math], capabilities: {kv: {prefix: a/}}"), "a").Hash
	for name, c := range map[string]struct {
		text string
		same bool
	}{
		"moved":     {"# a comment\nversion: 1.0\nsandboxes:\n  a:\n    capabilities: {kv: {prefix: a/}}\n    imports: math\n", true},
		"inherited": {"version: 1.0\nsandboxes: {b: {imports: [math]}, a: {extends: b, capabilities: {kv: {prefix: a/}}}}\n", true},
		"imports":   {sandboxOf("imports: [os], capabilities: {kv: {prefix: a/}}"), false},
		"a scope":   {sandboxOf("imports: [math], capabilities: {kv: {prefix: b/}}"), false},
		"a limit":   {sandboxOf("imports: [math], capabilities: {kv: {prefix: a/, rps: 1}}"), false},
		"a host":    {sandboxOf("imports: [math], capabilities: {kv: {prefix: a/}}, net: [{connect: a.example}]"), false},
	} {
		if got := compile(t, c.text, "a").Hash; (got == base) != c.same {
			t.Errorf("%s: same %v", name, !c.same)
		}
	}
}

// Whoever knows capabilities says what is wrong with a grant, at its place.
func TestGrantsAreChecked(t *testing.T) {
	d := parse(t, "version: 1.0\nsandboxes:\n  a:\n    capabilities:\n      kv: {prefix: a/}\n      clock: {}\n  b: {extends: a}\n")
	var asked []string
	err := d.Check(document.Options{Grant: func(g capability.Grant) error {
		asked = append(asked, g.Capability+string(g.Scope))
		if g.Capability == "kv" {
			return capability.Errorf(capability.Invalid, "not here")
		}
		return nil
	}})
	if err == nil || err.Error() != "p.yml:5:7: grant kv: not here; see docs/capabilities.md" {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"clock", `kv{"prefix":"a/"}`, "clock", `kv{"prefix":"a/"}`}, asked); diff != "" {
		t.Error(diff)
	}
}
