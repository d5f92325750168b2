package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
	"github.com/pyisolate/pyisolate/policystore/token"
)

// CreateToken makes a token and returns its secret, which is kept nowhere: whoever loses it
// needs another token. The principal must be an admin whose tenant covers the token's, and who came with
// a token makes none that ends after it.
// Errors are those of every change (see [Store.Put]).
func (s *Store) CreateToken(ctx context.Context, p Principal, r TokenRequest) (secret string, info TokenInfo, err error) {
	const what = "create token"
	c, made := tokenCommand(CreateToken, p, r, token.New())
	if err := s.vet(ctx, c, Linearizable); err != nil {
		return "", info, fmt.Errorf("%s: %w", what, err)
	}
	o, err := s.propose(ctx, c)
	if err != nil {
		return "", info, fmt.Errorf("%s: %w", what, err)
	}
	return made.Reveal(), o.token, nil
}

// tokenCommand makes a token with a secret, which goes no further.
func tokenCommand(a Action, p Principal, r TokenRequest, secret token.Secret) (*command, token.Secret) {
	info := TokenInfo{ID: secret.ID(), Name: r.Name, Role: r.Role, Tenant: r.Tenant, Expires: r.Expires}
	return &command{action: a, principal: p, token: tokenRecord{info: info, hash: secret.Hash()}}, secret
}

func (s *Store) vetToken(ctx context.Context, c *command) error {
	p, t := c.principal, c.token.info
	if err := errors.Join(p.check(), checkTokenName(t.Name), checkTenant(t.Tenant)); err != nil {
		return err
	}
	switch {
	case !token.ValidID(t.ID):
		return fmt.Errorf("%w: %.40q is not a token's id", ErrInvalid, t.ID)
	case !t.Role.Valid():
		return fmt.Errorf("%w: a token with %s", ErrInvalid, t.Role)
	}
	if err := p.require(Admin, t.Tenant, CreateToken.String()); err != nil {
		return err
	}
	if !t.Expires.IsZero() && !wire.HasTime(t.Expires) {
		return fmt.Errorf("%w: no time after %s can be kept; leave the token's end out if it has none", ErrInvalid, wire.MaxTime.Format(time.DateOnly))
	}
	return s.read(ctx, Stale, func(tx *transaction) error {
		if now := tx.now(s.config.Now()); !t.Expires.IsZero() && !t.Expires.After(now) {
			return fmt.Errorf("%w: the token would have expired at %v; for the store it is %v", ErrInvalid, t.Expires, now)
		}
		return tx.outlives(p, t)
	})
}

// outlives refuses a token that would end after the one that makes it, whose end never changes.
func (t *transaction) outlives(p Principal, i TokenInfo) error {
	maker, found, err := t.findToken(p.TokenID)
	if err != nil || !found { // nobody's, or gone: that is judged when it is applied
		return err
	}
	end := maker.info.Expires
	if end.IsZero() || !i.Expires.IsZero() && !i.Expires.After(end) {
		return nil
	}
	return fmt.Errorf("%w: a token outlives none that made it: ask for one that expires by %s, when yours does (token %s), or make it as a user of the node's machine",
		ErrDenied, end.UTC().Format(time.RFC3339), p.TokenID)
}

// checkTokenName leaves names with colons, such as uid:0, to principals that a server vouches for.
func checkTokenName(name string) error {
	if strings.Contains(name, ":") {
		return fmt.Errorf("%w: the token's name %q has a colon, as only the names of local users have", ErrInvalid, name)
	}
	return checkLine("the token's name", name, 1, maxPrincipal)
}

var firstTokenPoint = failpoint.New("store.token")

// firstPrincipal is who makes a new store's first token.
var firstPrincipal = Principal{Name: "first start", Role: Admin}

// makeFirstToken gives a store that never had one its first admin token, if anybody wants
// to know it.
func (s *Store) makeFirstToken() error {
	if s.config.FirstToken == nil {
		return nil
	}
	has := false
	err := s.state.view(func(t *transaction) error {
		has = t.head.hasFirst
		return nil
	})
	if err != nil || has {
		return err
	}
	secret := token.New()
	if err := s.config.FirstToken(secret.Reveal()); err != nil {
		return fmt.Errorf("hand over the first token: %w", err)
	}
	firstTokenPoint.Hit()
	c, _ := tokenCommand(FirstToken, firstPrincipal, TokenRequest{Name: "first", Role: Admin}, secret)
	if o := s.commit(s.life, c); o.err != nil {
		return fmt.Errorf("make the first token: %w", o.err)
	}
	return nil
}

// RevokeToken ends a token for good; again is no error. The principal must be an admin whose
// tenant covers the token's, or have come with that token. Of another tenant's it hears what it hears of none.
func (s *Store) RevokeToken(ctx context.Context, p Principal, id string) (TokenInfo, error) {
	c := &command{action: RevokeToken, principal: p, token: tokenRecord{info: TokenInfo{ID: id}}}
	if err := s.vet(ctx, c, Linearizable); err != nil {
		return TokenInfo{}, fmt.Errorf("revoke token: %w", err)
	}
	o, err := s.propose(ctx, c)
	if err != nil {
		return TokenInfo{}, fmt.Errorf("revoke token %s: %w", id, err)
	}
	return o.token, nil
}

func (s *Store) vetRevocation(ctx context.Context, c *command, reads Consistency) error {
	p, id := c.principal, c.token.info.ID
	if err := p.check(); err != nil {
		return err
	}
	if !token.ValidID(id) {
		return fmt.Errorf("%w: %.40q is not a token's id, which has 16 hexadecimal digits", ErrInvalid, id)
	}
	if p.TokenID != id { // whose token it is, is seen when it is applied
		if err := p.require(Admin, p.Tenant, RevokeToken.String()); err != nil {
			return err
		}
	}
	return s.isToken(ctx, p, id, reads)
}

// isToken refuses to propose anything about tokens that there are not: that would leave a record. Nor are there
// those of other tenants, for a principal of one.
func (s *Store) isToken(ctx context.Context, p Principal, id string, c Consistency) error {
	return s.read(ctx, c, func(t *transaction) error {
		r, found, err := t.findToken(id)
		if err == nil && (!found || !p.Covers(r.info.Tenant)) {
			err = fmt.Errorf("%w: there is no token %s", ErrNotFound, id)
		}
		return err
	})
}

// ListTokens returns the tokens of an admin's tenant, or all, by id. It is Linearizable.
func (s *Store) ListTokens(ctx context.Context, p Principal) (infos []TokenInfo, err error) {
	if err := errors.Join(p.check(), p.require(Admin, p.Tenant, "token list")); err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	err = s.read(ctx, Linearizable, func(t *transaction) error {
		return t.eachToken(func(r tokenRecord) {
			if p.Covers(r.info.Tenant) {
				infos = append(infos, r.info)
			}
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	return infos, nil
}

// Authenticate returns whose a secret is, by what this node has applied. Source is where the
// client is, such as its address, or its network where a host has many: after ten failures from
// one source within a short time, further ones are ErrLimited and not logged, at first for some
// seconds. A valid secret is never refused for others' failures: nobody finds one by trying.
// ErrUnauthenticated says what is wrong with a secret that is malformed, and of others only
// that they are not valid. A node of a cluster asks the leader about a secret that it does not know, and
// is ErrStale for all when it is not [Store.Fresh].
func (s *Store) Authenticate(ctx context.Context, secret, source string) (Principal, error) {
	p, err := s.authenticate(ctx, secret)
	if errors.Is(err, ErrUnauthenticated) {
		if wait := s.failures.add(source); wait > 0 {
			err = fmt.Errorf("%w: too many failures from %q; a wrong token is told as such again in %v", ErrLimited, source, wait)
		} else {
			s.config.Logger.Warn("authentication failed", "source", source, "error", err)
		}
	}
	if err != nil {
		return Principal{}, fmt.Errorf("authenticate: %w", err)
	}
	return p, nil
}

func (s *Store) authenticate(ctx context.Context, text string) (Principal, error) {
	secret, err := token.Parse(text)
	if err != nil {
		return Principal{}, fmt.Errorf("%w: %w", ErrUnauthenticated, err)
	}
	if err := s.freshen(ctx); err != nil { // the token could have been revoked
		return Principal{}, fmt.Errorf("%w; users of this machine need no token on the node's socket", err)
	}
	t, valid, err := s.knownToken(ctx, secret.ID()) // an unknown one has a hash that nothing matches
	if err != nil {
		return Principal{}, err
	}
	if !secret.Matches(t.hash) || !valid {
		return Principal{}, notValid(secret.ID())
	}
	return Principal{Name: t.info.Name, Role: t.info.Role, Tenant: t.info.Tenant, TokenID: t.info.ID}, nil
}

// TokenValid says whether a principal's token still is: nil, or ErrUnauthenticated when it is
// revoked or has expired, by what this node has applied; ErrStale when it is as far as a node of a
// cluster knows that is not [Store.Fresh]. It is for calls that were admitted and go on; unlike
// Authenticate it counts no failures.
func (s *Store) TokenValid(ctx context.Context, id string) error {
	stale := s.freshen(ctx)
	_, valid, err := s.validToken(ctx, id)
	switch {
	case err == nil && !valid:
		err = notValid(id)
	case err == nil:
		err = stale
	}
	if err != nil {
		return fmt.Errorf("look a token up: %w", err)
	}
	return nil
}

// renewTime bounds the wait for what other nodes know of a token.
const renewTime = time.Second

// freshen is Fresh, but asks before it gives up.
func (s *Store) freshen(ctx context.Context) error {
	err := s.Fresh()
	if !errors.Is(err, ErrStale) {
		return err
	}
	within, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	if s.renew(within) != nil {
		return err
	}
	return nil
}

// knownToken is validToken, but a token that this node does not know may have been made at another
// one a moment ago.
func (s *Store) knownToken(ctx context.Context, id string) (t tokenRecord, valid bool, err error) {
	t, valid, err = s.validToken(ctx, id)
	if err != nil || t.info.ID != "" || s.config.Cluster == nil {
		return t, valid, err
	}
	within, cancel := context.WithTimeout(ctx, renewTime)
	defer cancel()
	if err := s.renew(within); err != nil {
		return t, false, fmt.Errorf("ask whether there is a token %.40s: %w", id, err)
	}
	return s.validToken(ctx, id)
}

func (s *Store) validToken(ctx context.Context, id string) (t tokenRecord, valid bool, err error) {
	err = s.read(ctx, Stale, func(tx *transaction) error {
		found, err := false, error(nil)
		t, found, err = tx.findToken(id)
		valid = found && t.info.Revoked.IsZero() && !t.info.expired(tx.now(s.config.Now()))
		return err
	})
	return t, valid, err
}

func notValid(id string) error {
	return fmt.Errorf("%w: token %.40s is unknown, expired or revoked", ErrUnauthenticated, id)
}
