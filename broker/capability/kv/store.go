package kv

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Bounds of keys and values in bytes, and what a pair costs beside them in quotas.
const (
	MaxKey   = 1 << 10
	MaxValue = 1 << 20
	Overhead = 64
)

// Defaults of [Config].
const (
	DefaultKeys  = 100_000
	DefaultBytes = 64 << 20
)

// Config of a [Store].
type Config struct {
	// Keys and Bytes one tenant may hold; 0 is the default, 100,000 and 64 MiB.
	// A pair counts its key, its value and 64 bytes.
	Keys, Bytes int64
}

// Store is an open file, and the capability.
type Store struct {
	db    *bolt.DB
	quota usage
}

// usage is an amount, of what is held or may be.
type usage struct{ keys, bytes int64 }

func (u usage) exceeds(q usage) bool { return u.keys > q.keys || u.bytes > q.bytes }

// The layout of the file. Changing it makes existing files unreadable.
var (
	tenantsBucket = []byte("tenants")
	dataBucket    = []byte("data")
	usageKey      = []byte("usage") // two big-endian 64-bit numbers
)

const (
	lockTimeout = 2 * time.Second
	// batchDelay is how long a write waits for company.
	batchDelay = time.Millisecond
)

// Open opens or makes the file at path, for this process alone.
func Open(path string, c Config) (*Store, error) {
	db, err := bolt.Open(path, 0o600, &bolt.Options{Timeout: lockTimeout, FreelistType: bolt.FreelistMapType})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open store %s: another process has it open", path)
	}
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	db.MaxBatchDelay = batchDelay
	s := &Store{db: db, quota: usage{DefaultKeys, DefaultBytes}}
	if c.Keys > 0 {
		s.quota.keys = c.Keys
	}
	if c.Bytes > 0 {
		s.quota.bytes = c.Bytes
	}
	return s, nil
}

// Close closes the file. No call may be under way.
func (s *Store) Close() error {
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// bucketName cannot be empty, whatever the tenant's name is.
func bucketName(tenant string) []byte { return []byte("t/" + tenant) }

// view runs read with the tenant's data; with nil when it has none yet.
func (s *Store) view(tenant string, read func(data *bolt.Bucket, held usage)) error {
	err := s.db.View(func(tx *bolt.Tx) error {
		if all := tx.Bucket(tenantsBucket); all != nil {
			if b := all.Bucket(bucketName(tenant)); b != nil {
				read(b.Bucket(dataBucket), readUsage(b))
				return nil
			}
		}
		read(nil, usage{})
		return nil
	})
	return failed("read", err)
}

func failed(what string, err error) error {
	if err != nil {
		return capability.Errorf(capability.Failed, "the node could not %s its store", what).WithCause(err)
	}
	return nil
}

func readUsage(b *bolt.Bucket) usage {
	v := b.Get(usageKey)
	if len(v) != 16 {
		return usage{}
	}
	return usage{int64(binary.BigEndian.Uint64(v)), int64(binary.BigEndian.Uint64(v[8:]))}
}

func (u usage) encode() []byte {
	v := binary.BigEndian.AppendUint64(nil, uint64(u.keys))
	return binary.BigEndian.AppendUint64(v, uint64(u.bytes))
}

// change is one write. condition, when not nil, sees the value there is now, nil
// for none, and says whether to go on.
type change struct {
	tenant    string
	key       []byte
	value     []byte // nil deletes
	quota     usage
	condition func(now []byte) bool

	// The outcome.
	done    bool // it was carried out
	existed bool
	refused error
}

// apply carries a change out, or refuses it, in a transaction that may serve other
// cells as well. A refusal is an outcome and not an error, for an error would make
// the others start again.
func (s *Store) apply(c *change) error {
	err := s.db.Batch(func(tx *bolt.Tx) error {
		c.done, c.existed, c.refused = false, false, nil // a batch can run twice
		return c.in(tx)
	})
	if err != nil {
		return failed("write", err)
	}
	return c.refused
}

func (c *change) in(tx *bolt.Tx) error {
	all, err := tx.CreateBucketIfNotExists(tenantsBucket)
	if err != nil {
		return err
	}
	b, err := all.CreateBucketIfNotExists(bucketName(c.tenant))
	if err != nil {
		return err
	}
	data, err := b.CreateBucketIfNotExists(dataBucket)
	if err != nil {
		return err
	}
	now, held := data.Get(c.key), readUsage(b)
	c.existed = now != nil
	if c.condition != nil && !c.condition(now) {
		return nil
	}
	after := c.after(held, now)
	if after.exceeds(c.quota) && (after.keys > held.keys || after.bytes > held.bytes) {
		c.refused = capability.Errorf(capability.Quota, "the tenant would hold %d keys with %d bytes; the quota is %d with %d",
			after.keys, after.bytes, c.quota.keys, c.quota.bytes)
		return nil
	}
	c.done = true
	if c.value == nil {
		if now == nil {
			return nil
		}
		err = data.Delete(c.key)
	} else {
		err = data.Put(c.key, c.value)
	}
	return errors.Join(err, b.Put(usageKey, after.encode()))
}

// after is what the tenant holds when the change is made.
func (c *change) after(held usage, now []byte) usage {
	if now != nil {
		held.keys--
		held.bytes -= cost(c.key, now)
	}
	if c.value != nil {
		held.keys++
		held.bytes += cost(c.key, c.value)
	}
	return held
}

func cost(key, value []byte) int64 { return int64(len(key) + len(value) + Overhead) }

// get returns a copy of a value, nil for none.
func (s *Store) get(tenant string, key []byte) (value []byte, err error) {
	err = s.view(tenant, func(data *bolt.Bucket, _ usage) {
		if data == nil {
			return
		}
		if v := data.Get(key); v != nil {
			value = append([]byte{}, v...)
		}
	})
	return value, err
}

// scan calls each for the keys with the prefix that come after a key, in order,
// until it says no. It reports the last call's answer: false when there is more.
func (s *Store) scan(tenant string, prefix, after []byte, each func(key []byte, size int) bool) (complete bool, err error) {
	complete = true
	err = s.view(tenant, func(data *bolt.Bucket, _ usage) {
		if data == nil {
			return
		}
		c := data.Cursor()
		start := prefix
		if bytes.Compare(after, start) > 0 {
			start = after
		}
		for k, v := c.Seek(start); k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if len(after) > 0 && bytes.Compare(k, after) <= 0 {
				continue
			}
			if !each(k, len(v)) {
				complete = false
				return
			}
		}
	})
	return complete, err
}
