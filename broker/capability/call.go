package capability

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"unicode/utf8"
)

// Capability performs the effects of one name. Do is called concurrently, in a
// goroutine of its own per request, and should return soon after ctx ends. An
// error that is not an [*Error] is shown to the guest as an internal one, without
// its text. Whatever Do starts it must end before it returns.
type Capability interface {
	Do(ctx context.Context, call *Call) (Value, error)
}

// Func is a Capability that is one function.
type Func func(ctx context.Context, call *Call) (Value, error)

// Do calls f.
func (f Func) Do(ctx context.Context, call *Call) (Value, error) { return f(ctx, call) }

// A Scoper is a Capability whose grants say more than yes. Scope reads what one
// grant says and opens what it needs; its result is [Call.Scope] of each request
// under this grant. If it is an [io.Closer] it is closed after the last of them.
// Capabilities that are not Scopers refuse grants with a scope.
type Scoper interface {
	Capability
	Scope(id Identity, scope json.RawMessage) (any, error)
}

// A Settler is a Scoper with effects that outlast the call which had them, as a subscription does.
// Settle is told what is granted to a cell from now on, the result of Scope or nil for no
// grant: when a session is opened, when its grants change, and when the last call under a grant
// from before has ended. It ends what that does not cover, and must not block.
type Settler interface {
	Scoper
	Settle(id Identity, scope any)
}

// Identity is whose request it is. It comes from the node, never from the guest.
type Identity struct {
	Tenant string `json:"tenant"`
	Cell   string `json:"cell"`
}

// Request is what a guest asks for.
type Request struct {
	Capability string
	Action     string
	Payload    Value
}

// Call is one request on its way through a capability. Payload belongs to the
// call until Do returns, which can be after the guest had its answer.
type Call struct {
	Identity
	Request
	// Scope is what the capability's Scope returned for the grant; nil without.
	Scope any
	// Version is the policy's.
	Version uint64
	// MaxAnswer in bytes. A longer answer is replaced by a TooLarge error, so
	// capabilities bound what they read by it.
	MaxAnswer int

	mu           sync.Mutex
	target, rule string
}

// maxTarget bounds what a record says about a request's object, in bytes.
const maxTarget = 256

// SetTarget says for the record what the request is about: a path, a host, a key.
// It must not hold anything secret. It is cut to 256 bytes and control
// characters are replaced.
func (c *Call) SetTarget(target string) {
	target = printable(target, maxTarget)
	c.mu.Lock()
	c.target = target
	c.mu.Unlock()
}

// SetRule says for the record which part of the grant decided.
func (c *Call) SetRule(rule string) {
	c.mu.Lock()
	c.rule = rule
	c.mu.Unlock()
}

func (c *Call) notes() (target, rule string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.target, c.rule
}

// Arguments decodes the payload's JSON strictly into a struct. The payload is an
// object, null for an empty one, or a packed value (see [Pack]) of an object and
// bytes, which are then returned; body is nil only when there are none.
func (c *Call) Arguments(into any) (body []byte, err error) {
	args := json.RawMessage(c.Payload.Data)
	if c.Payload.Type == Bytes {
		if args, body, err = Unpack(c.Payload); err != nil {
			return nil, err
		}
		body = body[:len(body):len(body)]
	}
	if s := bytes.TrimSpace(args); len(s) == 0 || string(s) == "null" {
		args = json.RawMessage("{}")
	}
	return body, decode("payload", args, into, 1)
}

// UnknownAction is the answer to an action the capability does not have.
func (c *Call) UnknownAction(known ...string) error {
	return Errorf(Invalid, "%s has no action %q: use %s", c.Capability, printable(c.Action, maxName), strings.Join(known, ", "))
}

// printable makes what a guest wrote fit for a log: bounded, one line, UTF-8.
func printable(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	clean := func(r rune) bool { return r < ' ' || r == 0x7f || r == utf8.RuneError || r == 0x2028 || r == 0x2029 }
	if strings.IndexFunc(s, clean) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if clean(r) {
			return '·'
		}
		return r
	}, s)
}
