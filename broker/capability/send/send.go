// Package send is the capability send: messages to other cells, by name, and to topics, by
// theirs.
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

// Sender delivers messages. Its errors are shown to the guest as capability errors are. The
// cell that asks is from; names and topics are of its tenant.
type Sender interface {
	// Send returns when the message is in the receiver's inbox.
	Send(ctx context.Context, from capability.Identity, to string, message capability.Value) error
	// Publish returns when the message is in the inbox of each cell that hears the topic, or
	// was refused: it says how many of each.
	Publish(ctx context.Context, from capability.Identity, topic string, message capability.Value) (delivered, refused int, err error)
	// Subscribe has from hear the topic, Unsubscribe no longer.
	Subscribe(from capability.Identity, topic string) error
	Unsubscribe(from capability.Identity, topic string) error
	// Narrow ends each subscription of from that is not to one of these topics. It must not block.
	Narrow(from capability.Identity, to []string)
}

// maxNames in one grant, of each kind.
const maxNames = 1024

var (
	nameRE  = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	topicRE = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,128}$`)
)

// Send is the capability.
type Send struct{ sender Sender }

var (
	_ capability.Scoper  = (*Send)(nil)
	_ capability.Settler = (*Send)(nil)
)

// New returns the capability; s may be nil.
func New(s Sender) *Send { return &Send{s} }

// scope is what a grant says.
type scope struct {
	// Names of cells, Topics to publish to, Hear topics to subscribe to.
	Names  []string `json:"names"`
	Topics []string `json:"topics"`
	Hear   []string `json:"hear"`
}

// Scope reads a grant: cells and topics of the same tenant.
func (s *Send) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	var f scope
	if err := capability.DecodeScope(raw, "names", &f); err != nil {
		return nil, err
	}
	if len(f.Names)+len(f.Topics)+len(f.Hear) == 0 {
		return nil, capability.Errorf(capability.Invalid, "names nobody: give names of cells, topics to publish to, or topics to hear")
	}
	for _, list := range []struct {
		what, rule string
		names      []string
		valid      *regexp.Regexp
	}{
		{"cell name", "1 to 64 letters, digits, '_' or '-'", f.Names, nameRE},
		{"topic", "1 to 128 letters, digits, '_', '-' or '.'", f.Topics, topicRE},
		{"topic", "1 to 128 letters, digits, '_', '-' or '.'", f.Hear, topicRE},
	} {
		if len(list.names) > maxNames {
			return nil, capability.Errorf(capability.Invalid, "has %d entries in one list; %d is the most", len(list.names), maxNames)
		}
		for _, name := range list.names {
			if !list.valid.MatchString(name) {
				return nil, capability.Errorf(capability.Invalid, "%s %.128q is not valid: use %s", list.what, name, list.rule)
			}
		}
	}
	return f, nil
}

// Settle ends subscriptions to what the cell may not hear any more.
func (s *Send) Settle(id capability.Identity, granted any) {
	if s.sender != nil {
		f, _ := granted.(scope)
		s.sender.Narrow(id, f.Hear)
	}
}

// arguments of all actions.
type arguments struct {
	To    string          `json:"to"`
	Topic string          `json:"topic"`
	Value json.RawMessage `json:"value"`
}

// Do sends {"to": name, "value": any JSON}, or publishes {"topic": name, "value": any JSON}; in a
// packed payload the bytes are the message. It subscribes to and unsubscribes from {"topic":
// name}.
func (s *Send) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	var do func(context.Context, *capability.Call, arguments, capability.Value) (capability.Value, error)
	speaks := true
	switch c.Action {
	case "send":
		do = s.send
	case "publish":
		do = s.publish
	case "subscribe":
		do, speaks = s.subscribe, false
	case "unsubscribe":
		do, speaks = s.unsubscribe, false
	default:
		return capability.Value{}, c.UnknownAction("send", "publish", "subscribe", "unsubscribe")
	}
	var a arguments
	body, err := c.Arguments(&a)
	if err != nil {
		return capability.Value{}, err
	}
	var m capability.Value
	if speaks {
		if m, err = message(a, body); err != nil {
			return capability.Value{}, err
		}
	} else if body != nil || a.Value != nil {
		return capability.Value{}, capability.Errorf(capability.Invalid, "%s takes a topic and no message", c.Action)
	}
	return do(ctx, c, a, m)
}

func message(a arguments, body []byte) (capability.Value, error) {
	switch {
	case body != nil && a.Value != nil:
		return capability.Value{}, capability.Errorf(capability.Invalid, "the message is given twice: use value or a packed payload")
	case body != nil:
		return capability.BytesValue(body), nil
	case a.Value == nil:
		return capability.Value{}, capability.Errorf(capability.Invalid, "there is nothing to send: give a value or a packed payload")
	}
	return capability.Value{Type: capability.JSON, Data: a.Value}, nil
}

// permit judges a name by one list of the grant.
func permit(c *capability.Call, what, list, name string, granted []string) error {
	c.SetTarget(name)
	if !slices.Contains(granted, name) {
		return capability.Denyf(Name+": "+list, "%s %.128q is not granted", what, name)
	}
	c.SetRule(Name + "=" + name)
	return nil
}

func (s *Send) deliver() error {
	if s.sender == nil {
		return capability.Errorf(capability.Unavailable,
			"messages to other cells need a node that serves; this program runs one cell alone")
	}
	return nil
}

func (s *Send) send(ctx context.Context, c *capability.Call, a arguments, m capability.Value) (capability.Value, error) {
	if err := permit(c, "cell", "names", a.To, c.Scope.(scope).Names); err != nil {
		return capability.Value{}, err
	}
	if err := s.deliver(); err != nil {
		return capability.Value{}, err
	}
	return capability.Null(), s.sender.Send(ctx, c.Identity, a.To, m)
}

func (s *Send) publish(ctx context.Context, c *capability.Call, a arguments, m capability.Value) (capability.Value, error) {
	if err := permit(c, "topic", "topics", a.Topic, c.Scope.(scope).Topics); err != nil {
		return capability.Value{}, err
	}
	if err := s.deliver(); err != nil {
		return capability.Value{}, err
	}
	delivered, refused, err := s.sender.Publish(ctx, c.Identity, a.Topic, m)
	if err != nil {
		return capability.Value{}, err
	}
	return capability.JSONValue(map[string]int{"delivered": delivered, "refused": refused})
}

func (s *Send) subscribe(_ context.Context, c *capability.Call, a arguments, _ capability.Value) (capability.Value, error) {
	if err := permit(c, "topic", "hear", a.Topic, c.Scope.(scope).Hear); err != nil {
		return capability.Value{}, err
	}
	if err := s.deliver(); err != nil {
		return capability.Value{}, err
	}
	return capability.Null(), s.sender.Subscribe(c.Identity, a.Topic)
}

func (s *Send) unsubscribe(_ context.Context, c *capability.Call, a arguments, _ capability.Value) (capability.Value, error) {
	if err := permit(c, "topic", "hear", a.Topic, c.Scope.(scope).Hear); err != nil {
		return capability.Value{}, err
	}
	if err := s.deliver(); err != nil {
		return capability.Value{}, err
	}
	return capability.Null(), s.sender.Unsubscribe(c.Identity, a.Topic)
}
