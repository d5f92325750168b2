package capability

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Names of capabilities, actions and what bounds them.
const (
	maxName  = 64
	maxGrant = 64 << 10
)

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9_-]*(\.[a-z][a-z0-9_-]*)*$`)

// ValidName reports an error unless name is 1 to 64 of lower-case letters, digits,
// '_' and '-', in parts that begin with a letter and are joined by dots.
func ValidName(what, name string) error {
	if len(name) <= maxName && nameRE.MatchString(name) {
		return nil
	}
	return Errorf(Invalid, "%s name %q is not valid: use up to %d lower-case letters, digits, '_', '-', and '.' between parts", what, printable(name, maxName), maxName)
}

// Grant lets a cell use one capability.
type Grant struct {
	Capability string
	// Rule names the grant in records, such as "etl.yaml:14"; "" is the capability.
	Rule string
	Limits
	// Scope is the capability's own part: a JSON object, or a string or strings
	// as the capability documents; empty when it has none.
	Scope json.RawMessage
}

// Limits bound a grant's requests, each cell by itself. A zero field is its default.
type Limits struct {
	// RPS is requests per second in the long run, up to 1e6; Burst how many at
	// once after a rest. Defaults 1000, and one second's worth but 1 at least.
	RPS   float64
	Burst int
	// Concurrency is how many may be under way, up to 1024. Default 16.
	Concurrency int
	// Timeout of one request, up to 1h; the caller's deadline counts too. Default 30s.
	Timeout time.Duration
	// PayloadBytes and AnswerBytes bound the values, up to 64 MiB. Defaults 1 MiB.
	PayloadBytes, AnswerBytes int
}

// What a zero field of [Limits] means.
const (
	DefaultRPS         = 1000
	DefaultConcurrency = 16
	DefaultTimeout     = 30 * time.Second
	DefaultBytes       = 1 << 20
	MaxBytes           = 64 << 20
)

func (l Limits) withDefaults() Limits {
	if l.RPS == 0 {
		l.RPS = DefaultRPS
	}
	if l.Burst == 0 {
		l.Burst = max(1, int(l.RPS))
	}
	if l.Concurrency == 0 {
		l.Concurrency = DefaultConcurrency
	}
	if l.Timeout == 0 {
		l.Timeout = DefaultTimeout
	}
	if l.PayloadBytes == 0 {
		l.PayloadBytes = DefaultBytes
	}
	if l.AnswerBytes == 0 {
		l.AnswerBytes = DefaultBytes
	}
	return l
}

// Validate reports the first field out of its range.
func (l Limits) Validate() error {
	for _, f := range []struct {
		name      string
		v, lo, hi float64
	}{
		{"rps", l.RPS, 0, 1e6},
		{"burst", float64(l.Burst), 0, 1e6},
		{"concurrency", float64(l.Concurrency), 0, 1024},
		{"timeout in seconds", l.Timeout.Seconds(), 0, 3600},
		{"payload_bytes", float64(l.PayloadBytes), 0, MaxBytes},
		{"answer_bytes", float64(l.AnswerBytes), 0, MaxBytes},
	} {
		if !(f.v >= f.lo && f.v <= f.hi) { // so that NaN is refused
			return Errorf(Invalid, "%s is %v; it must be between %v and %v", f.name, f.v, f.lo, f.hi)
		}
	}
	return nil
}

// limitFields are the keys of a grant's object that every capability has.
type limitFields struct {
	RPS          float64  `json:"rps"`
	Burst        int      `json:"burst"`
	Concurrency  int      `json:"concurrency"`
	Timeout      Duration `json:"timeout"`
	PayloadBytes Size     `json:"payload_bytes"`
	AnswerBytes  Size     `json:"answer_bytes"`
}

var limitKeys = func() (keys []string) {
	t := reflect.TypeFor[limitFields]()
	for i := range t.NumField() {
		keys = append(keys, t.Field(i).Tag.Get("json"))
	}
	return keys
}()

// NewGrant reads a grant as a policy document has it: the capability's name and a
// JSON value. Of an object, the keys rps, burst, concurrency, timeout, payload_bytes
// and answer_bytes are [Limits] and the rest is the scope; null, a string and an
// array of strings are a scope as they are. The scope is validated by the
// capability when a session is opened.
func NewGrant(capability string, value json.RawMessage) (Grant, error) {
	g := Grant{Capability: capability}
	if err := ValidName("capability", capability); err != nil {
		return Grant{}, err
	}
	if len(value) > maxGrant {
		return Grant{}, Errorf(Invalid, "grant %s has %d bytes; %d is the most", capability, len(value), maxGrant)
	}
	value = bytes.TrimSpace(value)
	if len(value) == 0 || string(value) == "null" {
		return g, nil
	}
	var err error
	if value[0] == '{' {
		g.Scope, g.Limits, err = splitObject(value)
	} else {
		g.Scope, err = plainScope(value)
	}
	if err != nil {
		return Grant{}, within(capability, err)
	}
	return g, nil
}

func within(capability string, err error) error {
	return &Error{Kind: Invalid, Message: fmt.Sprintf("grant %s: %s", capability, message(err)), Cause: err}
}

func message(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

func plainScope(value json.RawMessage) (json.RawMessage, error) {
	var list []string
	if value[0] == '"' {
		return value, DecodeStrict("value", value, new(string))
	}
	if err := DecodeStrict("value", value, &list); err != nil {
		return nil, Errorf(Invalid, "write a string, an array of strings or an object: %s", message(err))
	}
	return value, nil
}

func splitObject(value json.RawMessage) (scope json.RawMessage, l Limits, err error) {
	var all map[string]json.RawMessage
	if err := DecodeStrict("value", value, &all); err != nil {
		return nil, Limits{}, err
	}
	limits := map[string]json.RawMessage{}
	for _, key := range limitKeys {
		if v, ok := all[key]; ok {
			limits[key] = v
			delete(all, key)
		}
	}
	var f limitFields
	text, err := json.Marshal(limits)
	if err == nil {
		err = DecodeStrict("limits", text, &f)
	}
	if err != nil {
		return nil, Limits{}, err
	}
	l = Limits{RPS: f.RPS, Burst: f.Burst, Concurrency: f.Concurrency, Timeout: time.Duration(f.Timeout),
		PayloadBytes: int(f.PayloadBytes), AnswerBytes: int(f.AnswerBytes)}
	if len(all) > 0 {
		scope, err = json.Marshal(all)
	}
	return scope, l, errors.Join(err, l.Validate())
}

// ParseGrant reads the short form of the command line: NAME, NAME=WORD or
// NAME={JSON object}. The word is what the capability's documentation says, such
// as a path for fs.read.
func ParseGrant(text string) (Grant, error) {
	if len(text) > maxGrant {
		return Grant{}, Errorf(Invalid, "a grant of %d bytes is too long; %d is the most", len(text), maxGrant)
	}
	name, value, has := strings.Cut(text, "=")
	var g Grant
	var err error
	switch {
	case !has:
		g, err = NewGrant(name, nil)
	case value == "":
		err = Errorf(Invalid, "grant %q ends after '=': write NAME=VALUE, or NAME alone", printable(text, maxName))
	case value[0] == '{':
		g, err = NewGrant(name, json.RawMessage(value))
	default:
		var quoted Value
		if quoted, err = JSONValue(strings.ToValidUTF8(value, "\uFFFD")); err == nil {
			g, err = NewGrant(name, quoted.Data)
		}
	}
	if err != nil {
		return Grant{}, err
	}
	g.Rule = printable(text, maxTarget)
	return g, nil
}

// ParseGrants reads several. Those with one word each are joined when they name
// the same capability; an object must be alone.
func ParseGrants(texts []string) ([]Grant, error) {
	var out []Grant
	for _, text := range texts {
		g, err := ParseGrant(text)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(out, func(o Grant) bool { return o.Capability == g.Capability })
		if i < 0 {
			out = append(out, g)
			continue
		}
		if out[i], err = join(out[i], g); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func join(a, b Grant) (Grant, error) {
	var words []string
	for _, g := range []Grant{a, b} {
		var word string
		var list []string
		switch {
		case json.Unmarshal(g.Scope, &word) == nil && len(g.Scope) > 0:
			words = append(words, word)
		case json.Unmarshal(g.Scope, &list) == nil && len(g.Scope) > 0:
			words = append(words, list...)
		default:
			return Grant{}, Errorf(Invalid, "%s is granted twice, once not as a word: write all of it in one object", a.Capability)
		}
	}
	scope, err := JSONValue(words)
	if err != nil {
		return Grant{}, err
	}
	a.Scope, a.Rule = scope.Data, a.Capability
	return a, nil
}

// same tells whether both let pass the same and bind the same resources.
func (g Grant) same(o Grant) bool {
	return g.Capability == o.Capability && bytes.Equal(g.Scope, o.Scope)
}

// Policy is what one cell may do. Policies are values: the session copies them.
type Policy struct {
	// Version grows with each change.
	Version uint64
	// Grants name each capability once.
	Grants []Grant
}
