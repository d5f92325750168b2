package policystore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/policystore/internal/failpoint"
	"github.com/pyisolate/pyisolate/policystore/internal/wire"
	"github.com/pyisolate/pyisolate/policystore/token"
)

// CreateToken makes a token and returns its secret, which is kept nowhere: whoever loses it
// needs another token. The principal must be an admin whose tenant covers the token's.
// Errors are those of every change (see [Store.Put]).
func (s *Store) CreateToken(ctx context.Context, p Principal, r TokenRequest) (secret string, info TokenInfo, err error) {
	const what = "create token"
	if err := s.admitToken(ctx, p, r); err != nil {
		return "", info, fmt.Errorf("%s: %w", what, err)
	}
	return s.makeToken(ctx, what, CreateToken, p, r, token.New())
}

func (s *Store) admitToken(ctx context.Context, p Principal, r TokenRequest) error {
	if err := errors.Join(p.check(), checkTokenName(r.Name), checkTenant(r.Tenant)); err != nil {
		return err
	}
	if !r.Role.Valid() {
		return fmt.Errorf("%w: a token with %s", ErrInvalid, r.Role)
	}
	if err := p.require(Admin, r.Tenant, CreateToken.String()); err != nil || r.Expires.IsZero() {
		return err
	}
	if !wire.HasTime(r.Expires) {
		return fmt.Errorf("%w: no time after %s can be kept; leave the token's end out if it has none", ErrInvalid, wire.MaxTime.Format(time.DateOnly))
	}
	return s.read(ctx, Stale, func(t *transaction) error {
		if now := t.now(s.config.Now()); !r.Expires.After(now) {
			return fmt.Errorf("%w: the token would have expired at %v; for the store it is %v", ErrInvalid, r.Expires, now)
		}
		return nil
	})
}

// checkTokenName leaves names with colons, such as uid:0, to principals that a server vouches for.
func checkTokenName(name string) error {
	if strings.Contains(name, ":") {
		return fmt.Errorf("%w: the token's name %q has a colon, as only the names of local users have", ErrInvalid, name)
	}
	return checkLine("the token's name", name, 1, maxPrincipal)
}

func (s *Store) makeToken(ctx context.Context, what string, a Action, p Principal, r TokenRequest, secret token.Secret) (string, TokenInfo, error) {
	info := TokenInfo{ID: secret.ID(), Name: r.Name, Role: r.Role, Tenant: r.Tenant, Expires: r.Expires}
	o, err := s.propose(ctx, &command{action: a, principal: p, token: tokenRecord{info: info, hash: secret.Hash()}})
	if err != nil {
		return "", TokenInfo{}, fmt.Errorf("%s: %w", what, err)
	}
	return secret.Reveal(), o.token, nil
}

var firstTokenPoint = failpoint.New("store.first token")

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
	_, _, err = s.makeToken(context.Background(), "make the first token", FirstToken, firstPrincipal, TokenRequest{Name: "first", Role: Admin}, secret)
	return err
}

// RevokeToken ends a token for good; again is no error. The principal must be an admin whose
// tenant covers the token's, or have come with that token.
func (s *Store) RevokeToken(ctx context.Context, p Principal, id string) (TokenInfo, error) {
	err := p.check()
	switch {
	case err != nil:
	case !token.ValidID(id):
		err = fmt.Errorf("%w: %.40q is not a token's id, which has 16 hexadecimal digits", ErrInvalid, id)
	case p.TokenID != id:
		err = p.require(Admin, p.Tenant, RevokeToken.String()) // whose token it is, is seen when it is applied
	}
	if err == nil {
		err = s.isToken(ctx, id)
	}
	if err != nil {
		return TokenInfo{}, fmt.Errorf("revoke token: %w", err)
	}
	o, err := s.propose(ctx, &command{action: RevokeToken, principal: p, token: tokenRecord{info: TokenInfo{ID: id}}})
	if err != nil {
		return TokenInfo{}, fmt.Errorf("revoke token %s: %w", id, err)
	}
	return o.token, nil
}

// isToken refuses to propose anything about tokens that there are not: that would leave a record.
func (s *Store) isToken(ctx context.Context, id string) error {
	return s.read(ctx, Linearizable, func(t *transaction) error {
		_, found, err := t.findToken(id)
		if err == nil && !found {
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
// that they are not valid.
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
	t, valid, err := s.validToken(ctx, secret.ID()) // an unknown one has a hash that nothing matches
	if err != nil {
		return Principal{}, err
	}
	if !secret.Matches(t.hash) || !valid {
		return Principal{}, notValid(secret.ID())
	}
	return Principal{Name: t.info.Name, Role: t.info.Role, Tenant: t.info.Tenant, TokenID: t.info.ID}, nil
}

// TokenValid says whether a principal's token still is: nil, or ErrUnauthenticated when it is
// revoked or has expired, by what this node has applied. It is for calls that were admitted
// and go on; unlike Authenticate it counts no failures.
func (s *Store) TokenValid(ctx context.Context, id string) error {
	_, valid, err := s.validToken(ctx, id)
	if err == nil && !valid {
		err = notValid(id)
	}
	if err != nil {
		return fmt.Errorf("look a token up: %w", err)
	}
	return nil
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
