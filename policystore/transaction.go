package policystore

import (
	"crypto/sha256"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/policystore/internal/wire"
)

// The layout of the state file. Changing it needs another format.
var (
	headBucket    = []byte("head")
	policyBucket  = []byte("policies") // name: newest version
	versionBucket = []byte("versions") // name, 0, number: version without text
	textBucket    = []byte("texts")    // tenant, 0, SHA-256: text
	textUseBucket = []byte("text uses")
	usageBucket   = []byte("tenants") // tenant, 0: what it has
	// Versions that may be dropped, and deletions of policies that may be forgotten: tenant,
	// 0, index: name and number.
	supersededBucket = []byte("superseded")
	deletedBucket    = []byte("deleted")
	changeBucket     = []byte("changes")  // index: name and number, for watchers
	requestBucket    = []byte("requests") // principal, request id: what it made
	expiringBucket   = []byte("requests by index")
	tokenBucket      = []byte("tokens") // id: token
	auditBucket      = []byte("audit")  // sequence number: record

	// recordBuckets are those whose records are counted and summed up.
	recordBuckets = [][]byte{policyBucket, versionBucket, textBucket, textUseBucket, usageBucket, supersededBucket, deletedBucket, changeBucket, requestBucket, expiringBucket, tokenBucket, auditBucket}

	headKey = []byte("head")
)

// transaction is a view of the state at one moment, or a change of it. Records are sealed
// with where they are; head follows what changes.
type transaction struct {
	tx   *bolt.Tx
	path string
	head head
}

func begin(tx *bolt.Tx, path string) (*transaction, error) {
	t := &transaction{tx: tx, path: path}
	b := tx.Bucket(headBucket)
	if b == nil {
		return nil, t.damage("it has no bucket %q", headBucket)
	}
	body, err := wire.Open(headBucket, headKey, b.Get(headKey))
	if err == nil {
		t.head, err = decodeHead(body)
	}
	if errors.Is(err, ErrNewer) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err != nil {
		return nil, t.damage("its head: %v", err)
	}
	return t, nil
}

func (t *transaction) damage(format string, args ...any) error {
	return &CorruptError{File: t.path, What: fmt.Sprintf(format, args...)}
}

// get returns a record's body, nil for none. It is valid while the transaction lasts.
func (t *transaction) get(bucket, key []byte) ([]byte, error) {
	v := t.tx.Bucket(bucket).Get(key)
	if v == nil {
		return nil, nil
	}
	return t.open(bucket, key, v)
}

func (t *transaction) open(bucket, key, v []byte) ([]byte, error) {
	body, err := wire.Open(bucket, key, v)
	if err != nil {
		return nil, t.damage("record %x of %s: %v", key, bucket, err)
	}
	return body, nil
}

// must returns a record's body; that it is not there is damage.
func (t *transaction) must(bucket, key []byte) ([]byte, error) {
	body, err := t.get(bucket, key)
	if err == nil && body == nil {
		err = t.damage("record %x of %s is missing", key, bucket)
	}
	return body, err
}

// put stores a record.
func (t *transaction) put(bucket, key, body []byte) error {
	if err := t.forget(bucket, key); err != nil {
		return err
	}
	sealed := wire.Seal(bucket, key, body)
	t.head.records++
	t.head.recordsSum.add(recordSum(bucket, key, sealed))
	return t.tx.Bucket(bucket).Put(key, sealed)
}

// remove deletes a record.
func (t *transaction) remove(bucket, key []byte) error {
	return errors.Join(t.forget(bucket, key), t.tx.Bucket(bucket).Delete(key))
}

// forget takes the record that is stored under a key out of the sum.
func (t *transaction) forget(bucket, key []byte) error {
	old := t.tx.Bucket(bucket).Get(key)
	if old == nil {
		return nil
	}
	if _, err := t.open(bucket, key, old); err != nil {
		return err
	}
	t.head.records--
	t.head.recordsSum.subtract(recordSum(bucket, key, old))
	return nil
}

// finish stores the head.
func (t *transaction) finish() error {
	return t.tx.Bucket(headBucket).Put(headKey, wire.Seal(headBucket, headKey, t.head.encode()))
}

// recordSum is a record's part of the sum: a hash of where it is and of its seal.
func recordSum(bucket, key, sealed []byte) sum {
	var w wire.Writer
	w.Bytes(bucket)
	w.Bytes(key)
	w.Uint(uint64(len(sealed)))
	w.B = append(w.B, sealed[len(sealed)-wire.SealSize:]...)
	return sumFrom(sha256.Sum256(w.B))
}

// digest is of the whole state.
func (t *transaction) digest() Digest { return sha256.Sum256(t.head.encode()) }

// Digest is equal on nodes that applied the same entries, and almost surely different on
// others.
type Digest [32]byte
