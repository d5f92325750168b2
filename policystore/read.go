package policystore

import (
	"bytes"
	"context"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// read runs f on the state, behind the fence unless the caller takes what this node has.
func (s *Store) read(ctx context.Context, c Consistency, f func(*transaction) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.join(); err != nil {
		return err
	}
	defer s.calls.Done()
	if c != Stale {
		if err := s.fence(ctx); err != nil {
			return err
		}
	}
	return s.state.view(f)
}

// Get returns a version with its text. Number 0 is the newest one, which is ErrNotFound when
// it is a deletion, as is an old one that is no longer kept. The principal's right to read is the caller's affair
// ([Principal.MayRead]), here and in the other reads.
func (s *Store) Get(ctx context.Context, name string, number uint64, c Consistency) (v Version, err error) {
	err = s.read(ctx, c, func(t *transaction) (err error) {
		v, err = t.load(name, number)
		return err
	})
	if err != nil {
		return Version{}, fmt.Errorf("get policy %.300s: %w", name, err)
	}
	return v, nil
}

func (t *transaction) load(name string, number uint64) (Version, error) {
	p, err := t.policy(name)
	if err != nil {
		return Version{}, err
	}
	if p.newest == 0 || number == 0 && p.deleted {
		return Version{}, ErrNotFound
	}
	if number == 0 {
		number = p.newest
	}
	v, err := t.version(name, number)
	if err == nil && v.Number == 0 {
		err = fmt.Errorf("%w: the newest version is %d, there is no %d", ErrNotFound, p.newest, number)
		switch {
		case p.dropped(number):
			err = p.isDropped(number)
		case number <= p.newest:
			err = t.damage("version %d of policy %s is missing", number, name)
		}
	}
	if err != nil || v.Deleted {
		return v, err
	}
	text, err := t.must(textBucket, textKey(v))
	v.Text = bytes.Clone(text)
	return v, err
}

// List returns the newest versions of policies, by name.
func (s *Store) List(ctx context.Context, r ListRequest, c Consistency) (l Listing, err error) {
	if r.Limit < 0 {
		return l, fmt.Errorf("list policies: %w: limit %d", ErrInvalid, r.Limit)
	}
	err = s.read(ctx, c, func(t *transaction) (err error) {
		l, err = t.list(r)
		return err
	})
	if err != nil {
		return Listing{}, fmt.Errorf("list policies: %w", err)
	}
	return l, nil
}

func (t *transaction) list(r ListRequest) (Listing, error) {
	l := Listing{Index: t.head.applied}
	cursor := t.tx.Bucket(policyBucket).Cursor()
	for k, v := seekAfter(cursor, r.Prefix, r.After); bytes.HasPrefix(k, []byte(r.Prefix)) && k != nil; k, v = cursor.Next() {
		if r.Of != nil && !r.Of.MayRead(string(k)) {
			continue
		}
		body, err := t.open(policyBucket, k, v)
		if err != nil {
			return l, err
		}
		p, err := decodePolicy(body)
		if err != nil {
			return l, t.damage("policy %s: %v", k, err)
		}
		if p.deleted && !r.Deleted {
			continue
		}
		if r.Limit > 0 && len(l.Versions) == r.Limit {
			l.More = true
			return l, nil
		}
		version, err := t.version(string(k), p.newest)
		if err != nil {
			return l, err
		}
		l.Versions = append(l.Versions, version)
	}
	return l, nil
}

// seekAfter finds the first key with a prefix that comes after another.
func seekAfter(c *bolt.Cursor, prefix, after string) (k, v []byte) {
	if after < prefix {
		return c.Seek([]byte(prefix))
	}
	k, v = c.Seek([]byte(after))
	if string(k) == after && after != "" {
		return c.Next()
	}
	return k, v
}

// maxHistory bounds one answer of History.
const maxHistory = 1000

// History returns versions of a policy without texts, newest first: at most limit (1 to
// 1,000) of those with numbers below before that are kept; 0 is all. It is Linearizable.
func (s *Store) History(ctx context.Context, name string, before uint64, limit int) (versions []Version, err error) {
	if limit < 1 || limit > maxHistory {
		return nil, fmt.Errorf("history of policy %.300s: %w: limit %d must be 1 to %d", name, ErrInvalid, limit, maxHistory)
	}
	err = s.read(ctx, Linearizable, func(t *transaction) error {
		p, err := t.policy(name)
		if err != nil {
			return err
		}
		if p.newest == 0 {
			return ErrNotFound
		}
		if before == 0 || before > p.newest {
			before = p.newest + 1
		}
		for n := before - 1; n >= p.first && len(versions) < limit; n-- {
			v, err := t.version(name, n)
			if err != nil {
				return err
			}
			if v.Number == 0 {
				return t.damage("version %d of policy %s is missing", n, name)
			}
			versions = append(versions, v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("history of policy %.300s: %w", name, err)
	}
	return versions, nil
}
