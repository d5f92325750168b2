package policystore

import (
	"fmt"
	"time"

	"github.com/hashicorp/raft"
)

// outcome is what applying a command came to.
type outcome struct {
	version Version // that a policy's command made, without its text
	token   TokenInfo
	err     error  // why the command was refused
	index   uint64 // of the entry
	term    uint64 // of Raft, at the node that answered
	judged  bool   // whether err, or that there is none, is what applying the command came to
}

// application is the applying of one command. What it does depends on the command and the
// state and on nothing else.
type application struct {
	*transaction
	*command
	index  uint64
	now    time.Time // the command's time, but not before the last one's
	limits limits
}

// apply carries an entry out. A refusal is an outcome; an error means that the state is
// damaged or cannot be written, and ends the transaction.
func (t *transaction) apply(entry *raft.Log, l limits) (outcome, error) {
	c, err := decodeCommand(entry.Data)
	if err != nil {
		return outcome{}, fmt.Errorf("log entry %d: %w", entry.Index, err)
	}
	t.head.applied = entry.Index
	if c.time.After(t.head.time) {
		t.head.time = c.time
	}
	a := &application{transaction: t, command: c, index: entry.Index, now: t.head.time, limits: l}
	var o outcome
	switch c.action {
	case PutPolicy, DeletePolicy, RollbackPolicy:
		o.version, o.err, err = a.changePolicy()
	case CreateToken, FirstToken:
		o.token, o.err, err = a.createToken()
	case RevokeToken:
		o.token, o.err, err = a.revokeToken()
	}
	if err != nil {
		err = fmt.Errorf("log entry %d: %w", entry.Index, err)
	}
	return o, err
}

// authority judges the principal again: time has passed since it asked, and its token
// may be gone. A refusal is recorded.
func (a *application) authority(least Role, tenant string) (refusal, err error) {
	p, denied := a.principal, allowed
	if p.TokenID != "" {
		if p, denied, err = a.withToken(p); err != nil {
			return nil, err
		}
	}
	if denied == allowed {
		denied = p.judge(least, tenant)
	}
	if denied == allowed {
		return nil, nil
	}
	return p.deny(denied, least, a.action.String()), a.record(AuditRecord{Name: a.subject(), denial: denied})
}

// withToken bounds a principal by its token as it is now.
func (a *application) withToken(p Principal) (_ Principal, denied denial, err error) {
	t, found, err := a.findToken(p.TokenID)
	switch {
	case err != nil:
		return p, allowed, err
	case !found || !t.info.Revoked.IsZero():
		return p, deniedRevoked, nil
	case t.info.expired(a.now):
		return p, deniedExpired, nil
	case t.info.Tenant != p.Tenant:
		return p, deniedOfTenant, nil
	}
	p.Role = min(p.Role, t.info.Role)
	return p, allowed, nil
}

// subject is what the command is about: a policy's name or a token's id.
func (a *application) subject() string {
	if a.name != "" {
		return a.name
	}
	return a.token.info.ID
}
