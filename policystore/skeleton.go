package policystore

import (
	"context"
	"errors"
	"time"
)

var errSkeleton = errors.New("not built yet")

// Store is an open data directory.
type Store struct{}

// Open opens or makes the store in c.Dir and waits, as long as ctx permits, until it has
// applied what was acknowledged.
func Open(ctx context.Context, c Config) (*Store, error) { return nil, errSkeleton }

// Close ends the store.
func (s *Store) Close() error { return errSkeleton }

// Put stores a document.
func (s *Store) Put(ctx context.Context, p Principal, r PutRequest) (Version, error) {
	return Version{}, errSkeleton
}

// Delete removes a policy; its versions stay.
func (s *Store) Delete(ctx context.Context, p Principal, r DeleteRequest) (Version, error) {
	return Version{}, errSkeleton
}

// Rollback makes an old version the newest.
func (s *Store) Rollback(ctx context.Context, p Principal, r RollbackRequest) (Version, error) {
	return Version{}, errSkeleton
}

// Get returns one version with its text; number 0 is the newest, ErrNotFound if that is a deletion.
func (s *Store) Get(ctx context.Context, name string, number uint64, c Consistency) (Version, error) {
	return Version{}, errSkeleton
}

// List returns the newest versions.
func (s *Store) List(ctx context.Context, r ListRequest, c Consistency) (Listing, error) {
	return Listing{}, errSkeleton
}

// History returns versions of one policy, newest first, those before a number (0: all), without texts.
func (s *Store) History(ctx context.Context, name string, before uint64, limit int) ([]Version, error) {
	return nil, errSkeleton
}

// Event is a change that a watcher sees: a version with its text.
type Event struct{ Version Version }

// Watch is a position in the sequence of changes.
type Watch struct{}

// Watch follows the changes of policies whose names begin with prefix, after an index (0: from the first kept).
func (s *Store) Watch(ctx context.Context, prefix string, from uint64) (*Watch, error) {
	return nil, errSkeleton
}

// Next waits for the next change.
func (w *Watch) Next(ctx context.Context) (Event, error) { return Event{}, errSkeleton }

// AuditRecord is one link of the chain.
type AuditRecord struct {
	Seq       uint64
	Index     uint64
	Time      time.Time
	Principal string
	Role      Role
	Tenant    string
	TokenID   string
	Action    Action
	Name      string // of the policy, or the token's id
	Before    Change // what was there
	After     Change // what is there now
	Comment   string
	Denied    string // why it was refused when applied, "" if it was made
	Hash      [32]byte
}

// Change is a state of what a record is about: a version's number and hash.
type Change struct {
	Number uint64
	Hash   [32]byte
}

// Action is what was done.
type Action uint8

// AuditSummary is what a verified chain says.
type AuditSummary struct {
	Records     uint64
	Head        [32]byte
	First, Last time.Time
}

// Audit returns records from a sequence number on.
func (s *Store) Audit(ctx context.Context, from uint64, limit int) ([]AuditRecord, error) {
	return nil, errSkeleton
}

// VerifyAudit walks the chain.
func (s *Store) VerifyAudit(ctx context.Context) (AuditSummary, error) {
	return AuditSummary{}, errSkeleton
}

// TokenRequest makes a token.
type TokenRequest struct {
	Name    string
	Role    Role
	Tenant  string
	Expires time.Time // zero: never
}

// TokenInfo is what is known of a token; the secret is not.
type TokenInfo struct {
	ID        string
	Name      string
	Role      Role
	Tenant    string
	Created   time.Time
	CreatedBy string
	Expires   time.Time
	Revoked   time.Time // zero: it is not
}

// CreateToken makes a token and returns its secret, which is kept nowhere.
func (s *Store) CreateToken(ctx context.Context, p Principal, r TokenRequest) (string, TokenInfo, error) {
	return "", TokenInfo{}, errSkeleton
}

// RevokeToken ends a token for good.
func (s *Store) RevokeToken(ctx context.Context, p Principal, id string) (TokenInfo, error) {
	return TokenInfo{}, errSkeleton
}

// ListTokens returns the tokens that p may see.
func (s *Store) ListTokens(ctx context.Context, p Principal) ([]TokenInfo, error) {
	return nil, errSkeleton
}

// Authenticate returns whose a secret is. Source is where the client is; failures from one source are limited.
func (s *Store) Authenticate(ctx context.Context, secret, source string) (Principal, error) {
	return Principal{}, errSkeleton
}

// Digest is equal on nodes that applied the same entries.
type Digest [32]byte
