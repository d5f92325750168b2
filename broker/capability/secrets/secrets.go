package secrets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability.
const Name = "secrets.get"

// maxNames in one grant.
const maxNames = 256

// Secrets is secrets.get: get, list.
type Secrets struct{ provider Provider }

var _ capability.Scoper = (*Secrets)(nil)

// New returns the capability; p nil has no secrets.
func New(p Provider) *Secrets {
	if p == nil {
		p = Static{}
	}
	return &Secrets{p}
}

// Scope reads the names of a grant. That a secret exists is not checked: it may come
// later.
func (s *Secrets) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	var f struct {
		Names []string `json:"names"`
	}
	if err := capability.DecodeScope(raw, "names", &f); err != nil {
		return nil, err
	}
	if len(f.Names) == 0 || len(f.Names) > maxNames {
		return nil, capability.Errorf(capability.Invalid, "names has %d entries; name 1 to %d secrets", len(f.Names), maxNames)
	}
	for _, name := range f.Names {
		if !nameRE.MatchString(name) {
			return nil, capability.Errorf(capability.Invalid, "secret name %q is not valid: use up to 128 letters, digits, '_', '.' and '-'", name)
		}
	}
	slices.Sort(f.Names)
	return f.Names, nil
}

// Do answers get with the value, a string if it is UTF-8 and bytes otherwise, and
// list with the names that are granted.
func (s *Secrets) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	var a struct {
		Name string `json:"name"`
	}
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	names := c.Scope.([]string)
	switch c.Action {
	case "get":
		return s.get(ctx, c, names, a.Name)
	case "list":
		return capability.JSONValue(names)
	}
	return capability.Value{}, c.UnknownAction("get", "list")
}

func (s *Secrets) get(ctx context.Context, c *capability.Call, names []string, name string) (capability.Value, error) {
	if !nameRE.MatchString(name) {
		return capability.Value{}, capability.Errorf(capability.Invalid, "that is not the name of a secret")
	}
	c.SetTarget(name)
	if _, ok := slices.BinarySearch(names, name); !ok {
		return capability.Value{}, capability.Denyf(Name+": names", "secret %s is not granted", name)
	}
	c.SetRule(Name + "=" + name)
	v, err := s.provider.Secret(ctx, c.Tenant, name)
	if errors.Is(err, ErrNotFound) {
		return capability.Value{}, capability.Errorf(capability.NotFound, "secret %s is granted, but the node does not have it", name)
	}
	if err != nil {
		return capability.Value{}, fmt.Errorf("secret %s: %w", name, err)
	}
	value := v.Reveal()
	if len(value) > MaxBytes {
		return capability.Value{}, fmt.Errorf("secret %s: it has more than %d bytes", name, MaxBytes)
	}
	if !utf8.Valid(value) {
		return capability.BytesValue(slices.Clone(value)), nil
	}
	return capability.JSONValue(string(value))
}
