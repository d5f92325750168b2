package policystore

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// Action is what was done, or tried. Numbers are in the log; they never change.
type Action uint8

// What changes policies and tokens.
const (
	PutPolicy      Action = 1
	DeletePolicy   Action = 2
	RollbackPolicy Action = 3
	CreateToken    Action = 4
	RevokeToken    Action = 5
	// FirstToken is the admin's token of a new store, which nobody asked for.
	FirstToken Action = 6
)

var actionNames = map[Action]string{
	PutPolicy: "put", DeletePolicy: "delete", RollbackPolicy: "rollback",
	CreateToken: "token create", RevokeToken: "token revoke", FirstToken: "first token",
}

func (a Action) String() string {
	if name, ok := actionNames[a]; ok {
		return name
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Formats that a command can begin with. It is written in the oldest one that can say it, so that
// nodes of older versions understand what they can do.
const (
	commandFormat      = 1
	commandFormatSince = 2 // has since at its end
)

const maxTokenID = 16

// command is an entry of the log: everything that applying it needs, so that it means the
// same on each node. Fields that an action does not use are zero.
type command struct {
	action    Action
	time      time.Time // the leader's clock
	principal Principal
	requestID string
	// since, when not 0, says that the request was made before, after this index; see repeated.
	since uint64

	name      string // of a policy
	text      []byte
	hasExpect bool
	expect    uint64
	to        uint64 // version to roll back to
	comment   string
	source    string

	token tokenRecord // to create; the id alone to revoke

	from string // the node whose client asked for it, "" for this one; it is not in the log
}

func (c *command) encode() []byte {
	w := wire.Writer{B: make([]byte, 0, 512+len(c.text))}
	w.Byte(c.format())
	w.Time(c.time)
	w.String(c.principal.Name)
	w.Byte(byte(c.principal.Role))
	w.String(c.principal.Tenant)
	w.String(c.principal.TokenID)
	w.String(c.requestID)
	w.B = append(w.B, c.body()...)
	if c.since > 0 {
		w.Uint(c.since)
	}
	return w.B
}

func (c *command) format() byte {
	if c.since > 0 {
		return commandFormatSince
	}
	return commandFormat
}

// body is what the request asks for, whoever asks and whenever.
func (c *command) body() []byte {
	w := wire.Writer{B: make([]byte, 0, 256+len(c.text))}
	w.Byte(byte(c.action))
	w.String(c.name)
	w.Bytes(c.text)
	w.Bool(c.hasExpect)
	w.Uint(c.expect)
	w.Uint(c.to)
	w.String(c.comment)
	w.String(c.source)
	w.Bytes(c.token.encodeIfAny())
	return w.B
}

// fingerprint tells requests apart that have the same id.
func (c *command) fingerprint() [32]byte { return sha256.Sum256(c.body()) }

func (t tokenRecord) encodeIfAny() []byte {
	if t.info.ID == "" {
		return nil
	}
	return t.encode()
}

// maxTokenRecord bounds an encoded token.
const maxTokenRecord = 512

// decodeCommand reads an entry. It refuses what no node of this version would propose.
func decodeCommand(b []byte) (*command, error) {
	r := wire.NewReader(b)
	format := r.Byte()
	if r.Err() == nil && format != commandFormat && format != commandFormatSince {
		return nil, newer("a command", format, commandFormatSince)
	}
	c := &command{
		time:      r.Time(),
		principal: Principal{Name: r.String(maxPrincipal), Role: Role(r.Byte()), Tenant: r.String(maxSegment), TokenID: r.String(maxTokenID)},
		requestID: r.String(maxRequestID),
		action:    Action(r.Byte()),
		name:      r.String(maxName), text: r.Bytes(MaxText), hasExpect: r.Bool(), expect: r.Uint(), to: r.Uint(),
		comment: r.String(maxComment), source: r.String(maxSource),
	}
	token := r.Bytes(maxTokenRecord)
	if format == commandFormatSince {
		c.since = r.Uint()
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	if len(token) > 0 {
		var err error
		if c.token, err = decodeToken(token); err != nil {
			return nil, err
		}
	}
	if _, known := actionNames[c.action]; !known {
		return nil, fmt.Errorf("%w: a command for %s: update this node", ErrNewer, c.action)
	}
	if format != c.format() {
		return nil, fmt.Errorf("%w: a command of format %d that says no more than one of format %d", wire.ErrFormat, format, c.format())
	}
	return c, nil
}
