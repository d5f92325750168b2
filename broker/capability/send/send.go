// Package send is the capability send: a message to another cell, by name.
//
// Delivery is not this package's: it needs somebody who knows where cells are, a
// [Sender]. Without one, every request is answered Unavailable.
package send

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability.
const Name = "send"

// Sender delivers messages. Send returns when the message is in the receiver's
// inbox; its errors are shown to the guest as capability errors are.
type Sender interface {
	Send(ctx context.Context, from capability.Identity, to string, message capability.Value) error
}

// maxNames in one grant.
const maxNames = 1024

var nameRE = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Send is the capability, with the one action send.
type Send struct{ sender Sender }

var _ capability.Scoper = (*Send)(nil)

// New returns the capability; s may be nil.
func New(s Sender) *Send { return &Send{s} }

// Scope reads the names of a grant: cells of the same tenant.
func (s *Send) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	var f struct {
		Names []string `json:"names"`
	}
	if err := capability.DecodeScope(raw, "names", &f); err != nil {
		return nil, err
	}
	if len(f.Names) == 0 || len(f.Names) > maxNames {
		return nil, capability.Errorf(capability.Invalid, "names has %d entries; name 1 to %d cells", len(f.Names), maxNames)
	}
	for _, name := range f.Names {
		if !nameRE.MatchString(name) {
			return nil, capability.Errorf(capability.Invalid, "cell name %q is not valid: use 1 to 64 letters, digits, '_' or '-'", name)
		}
	}
	return f.Names, nil
}

// Do sends {"to": name, "value": any JSON}, or a packed payload of {"to": name} and
// bytes.
func (s *Send) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	if c.Action != "send" {
		return capability.Value{}, c.UnknownAction("send")
	}
	var a struct {
		To    string          `json:"to"`
		Value json.RawMessage `json:"value"`
	}
	body, err := c.Arguments(&a)
	if err != nil {
		return capability.Value{}, err
	}
	c.SetTarget(a.To)
	if !slices.Contains(c.Scope.([]string), a.To) {
		return capability.Value{}, capability.Denyf(Name+": names", "cell %.64q is not granted", a.To)
	}
	c.SetRule(Name + "=" + a.To)
	message := capability.Value{Type: capability.JSON, Data: a.Value}
	switch {
	case body != nil && a.Value != nil:
		return capability.Value{}, capability.Errorf(capability.Invalid, "the message is given twice: use value or a packed payload")
	case body != nil:
		message = capability.BytesValue(body)
	case a.Value == nil:
		return capability.Value{}, capability.Errorf(capability.Invalid, "there is nothing to send: give a value or a packed payload")
	}
	if s.sender == nil {
		return capability.Value{}, capability.Errorf(capability.Unavailable,
			"message passing to other cells needs the actor layer; it is not part of this build")
	}
	if err := s.sender.Send(ctx, c.Identity, a.To, message); err != nil {
		return capability.Value{}, err
	}
	return capability.Null(), nil
}
