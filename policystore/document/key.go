package document

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/cell"
)

// A Key is a policy key of a plug-in. In documents it is written x-NAME, in a sandbox or in
// the defaults. Every document may have such keys, and they are kept whoever reads it; but
// to compile a sandbox that has one needs the key, so that no rule is ever ignored.
//
// A child's key replaces its parent's.
type Key interface {
	// Name is without the x-: lower-case letters, digits and dashes, 64 at most.
	Name() string
	// Decode reads the value, which is any JSON. Its error is reported at the value's
	// place. Equal values must give equal results.
	Decode(value json.RawMessage) (any, error)
	// Schema is a JSON Schema of the value; nil permits every value.
	Schema() json.RawMessage
	// Enforce is given what Decode returned and puts it into force in a cell that is
	// about to be started, as by wrapping its Sink. An error means that the cell must not
	// start.
	Enforce(value any, s *cell.Spec) error
}

// Keys are plug-ins' keys by name. Nil is none. They do not change once made.
type Keys struct {
	all map[string]Key
}

var extraRE = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)

// extraPrefix begins plug-ins' keys in a document.
const extraPrefix = "x-"

// NewKeys registers keys. Two of one name and names that are not valid are errors.
func NewKeys(keys ...Key) (*Keys, error) {
	k := &Keys{all: map[string]Key{}}
	for _, key := range keys {
		name := key.Name()
		if !extraRE.MatchString(name) || len(name) > 64 {
			return nil, fmt.Errorf("document: key name %q is not valid: use up to 64 lower-case letters and digits, with single dashes between", name)
		}
		if k.all[name] != nil {
			return nil, fmt.Errorf("document: two keys are called %q", name)
		}
		k.all[name] = key
	}
	return k, nil
}

func (k *Keys) named(name string) Key {
	if k == nil {
		return nil
	}
	return k.all[name]
}

// Names are the registered names, sorted.
func (k *Keys) Names() []string {
	if k == nil {
		return nil
	}
	names := make([]string, 0, len(k.all))
	for name := range k.all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// list is for messages.
func (k *Keys) list() string {
	names := k.Names()
	if len(names) == 0 {
		return "this program has no plug-in keys"
	}
	return "this program has " + extraPrefix + strings.Join(names, ", "+extraPrefix)
}
