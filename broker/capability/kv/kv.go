package kv

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

	bolt "go.etcd.io/bbolt"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability.
const Name = "kv"

// Bounds of list, in keys.
const (
	defaultList = 100
	maxList     = 1000
)

var _ capability.Scoper = (*Store)(nil)

// scope is a grant in force.
type scope struct {
	quota    usage
	prefix   string
	readOnly bool
}

// scopeFields are a grant's keys.
type scopeFields struct {
	Prefix   json.RawMessage `json:"prefix"`
	ReadOnly bool            `json:"read_only"`
	MaxKeys  int64           `json:"max_keys"`
	MaxBytes capability.Size `json:"max_bytes"`
}

// decodeScope reads a grant as far as no store is needed. The word form is a prefix.
func decodeScope(raw json.RawMessage) (f scopeFields, prefix string, err error) {
	if err = capability.DecodeScope(raw, "prefix", &f); err != nil {
		return f, "", err
	}
	prefix, err = onePrefix(f.Prefix)
	return f, prefix, err
}

// CheckScope reports what is wrong with a grant's scope, whatever the store's quota.
func CheckScope(raw json.RawMessage) error {
	f, _, err := decodeScope(raw)
	if err == nil && f.MaxKeys < 0 {
		err = capability.Errorf(capability.Invalid, "max_keys is %d", f.MaxKeys)
	}
	return err
}

// Scope reads a grant. The word form is a prefix.
func (s *Store) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	f, prefix, err := decodeScope(raw)
	if err != nil {
		return nil, err
	}
	sc := &scope{quota: s.quota, prefix: prefix, readOnly: f.ReadOnly}
	if f.MaxKeys < 0 || f.MaxKeys > s.quota.keys || int64(f.MaxBytes) > s.quota.bytes {
		return nil, capability.Errorf(capability.Invalid, "max_keys and max_bytes may not exceed the node's %d and %d", s.quota.keys, s.quota.bytes)
	}
	if f.MaxKeys > 0 {
		sc.quota.keys = f.MaxKeys
	}
	if f.MaxBytes > 0 {
		sc.quota.bytes = int64(f.MaxBytes)
	}
	return sc, nil
}

// onePrefix takes a string, or a list of one, which is what a word becomes.
func onePrefix(raw json.RawMessage) (string, error) {
	var one string
	var list []string
	switch {
	case raw == nil:
		return "", nil
	case json.Unmarshal(raw, &one) == nil:
	case json.Unmarshal(raw, &list) == nil && len(list) == 1:
		one = list[0]
	default:
		return "", capability.Errorf(capability.Invalid, "prefix must be one string")
	}
	if len(one) > MaxKey {
		return "", capability.Errorf(capability.Invalid, "prefix has %d bytes; %d is the most", len(one), MaxKey)
	}
	return one, nil
}

// key checks what the guest calls a key.
func (sc *scope) key(c *capability.Call, key string) ([]byte, error) {
	c.SetTarget(key)
	if key == "" || len(key) > MaxKey {
		return nil, capability.Errorf(capability.Invalid, "the key has %d bytes; it must have 1 to %d", len(key), MaxKey)
	}
	if !strings.HasPrefix(key, sc.prefix) {
		return nil, capability.Denyf(Name+": prefix", "keys under this grant begin with %q", sc.prefix)
	}
	return []byte(key), nil
}

// Do performs one action.
func (s *Store) Do(_ context.Context, c *capability.Call) (capability.Value, error) {
	sc := c.Scope.(*scope)
	switch c.Action {
	case "get":
		return s.doGet(c, sc)
	case "list":
		return s.doList(c, sc)
	case "usage":
		return s.doUsage(c, sc)
	case "put", "delete", "cas":
		if sc.readOnly {
			return capability.Value{}, capability.Denyf(Name+": read_only", "this grant is for reading")
		}
		return s.doWrite(c, sc)
	}
	return capability.Value{}, c.UnknownAction("get", "put", "delete", "cas", "list", "usage")
}

// doGet answers the value as bytes, or null.
func (s *Store) doGet(c *capability.Call, sc *scope) (capability.Value, error) {
	var a struct {
		Key string `json:"key"`
	}
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	key, err := sc.key(c, a.Key)
	if err != nil {
		return capability.Value{}, err
	}
	value, err := s.get(c.Tenant, key)
	if err != nil || value == nil {
		return capability.Null(), err
	}
	return capability.BytesValue(value), nil
}

type writeArgs struct {
	Key string `json:"key"`
	capability.Content
	// Expect is for cas: null, or text or base64 in an object.
	Expect json.RawMessage `json:"expect"`
	// Delete is for cas: delete instead of writing a value.
	Delete bool `json:"delete"`
}

// doWrite is put, delete and cas.
func (s *Store) doWrite(c *capability.Call, sc *scope) (capability.Value, error) {
	var a writeArgs
	body, err := c.Arguments(&a)
	if err != nil {
		return capability.Value{}, err
	}
	value, has, err := a.Bytes(body)
	if err != nil {
		return capability.Value{}, err
	}
	ch := &change{tenant: c.Tenant, quota: sc.quota}
	if ch.key, err = sc.key(c, a.Key); err != nil {
		return capability.Value{}, err
	}
	if err := a.check(c.Action, has); err != nil {
		return capability.Value{}, err
	}
	if has {
		if len(value) > MaxValue {
			return capability.Value{}, capability.Errorf(capability.TooLarge, "the value has %d bytes; %d is the most", len(value), MaxValue)
		}
		ch.value = append([]byte{}, value...) // not nil, even if empty
	}
	if c.Action == "cas" {
		if ch.condition, err = a.condition(); err != nil {
			return capability.Value{}, err
		}
	}
	if err := s.apply(ch); err != nil {
		return capability.Value{}, err
	}
	switch c.Action {
	case "delete":
		return capability.JSONValue(map[string]bool{"deleted": ch.existed})
	case "cas":
		return capability.JSONValue(map[string]bool{"swapped": ch.done})
	}
	return capability.Null(), nil
}

// check holds the arguments to what the action takes.
func (a writeArgs) check(action string, has bool) error {
	cas := action == "cas"
	switch {
	case !cas && (a.Expect != nil || a.Delete):
		return capability.Errorf(capability.Invalid, "expect and delete are for cas")
	case action == "delete" && has:
		return capability.Errorf(capability.Invalid, "delete takes no value")
	case action == "put" && !has, cas && has == a.Delete:
		return capability.Errorf(capability.Invalid, "give one value, by text, base64 or a packed payload (or, for cas, \"delete\": true)")
	case cas && a.Expect == nil:
		return capability.Errorf(capability.Invalid, "expect is missing: give the value that should be there, or null for none")
	}
	return nil
}

func (a writeArgs) condition() (func([]byte) bool, error) {
	if string(a.Expect) == "null" {
		return func(now []byte) bool { return now == nil }, nil
	}
	var content capability.Content
	if err := capability.DecodeStrict("expect", a.Expect, &content); err != nil {
		return nil, err
	}
	want, has, err := content.Bytes(nil)
	if err == nil && !has {
		err = capability.Errorf(capability.Invalid, "expect must be null or an object with text or base64")
	}
	return func(now []byte) bool { return now != nil && bytes.Equal(now, want) }, err
}

// Key is one entry of a listing.
type Key struct {
	Key  string `json:"key"`
	Size int    `json:"size"`
}

// Listing is the answer to list, in the order of the keys' bytes.
type Listing struct {
	Keys []Key `json:"keys"`
	// More is true when there are further keys: ask again after the last one. There is one, then.
	More bool `json:"more"`
}

func (s *Store) doList(c *capability.Call, sc *scope) (capability.Value, error) {
	a := struct {
		Prefix string `json:"prefix"`
		After  string `json:"after"`
		Limit  int    `json:"limit"`
	}{Prefix: sc.prefix, Limit: defaultList}
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	c.SetTarget(a.Prefix)
	if !strings.HasPrefix(a.Prefix, sc.prefix) {
		return capability.Value{}, capability.Denyf(Name+": prefix", "keys under this grant begin with %q", sc.prefix)
	}
	if a.Limit < 1 || a.Limit > maxList {
		return capability.Value{}, capability.Errorf(capability.Invalid, "limit is %d; it must be between 1 and %d", a.Limit, maxList)
	}
	l, room := Listing{Keys: []Key{}}, c.MaxAnswer-64
	complete, err := s.scan(c.Tenant, []byte(a.Prefix), []byte(a.After), func(key []byte, size int) bool {
		// A byte can become \u00XX. The first key is always listed: without room for it, all is refused.
		if room -= 6*len(key) + 48; room < 0 && len(l.Keys) > 0 || len(l.Keys) == a.Limit {
			return false
		}
		l.Keys = append(l.Keys, Key{string(key), size})
		return true
	})
	if err != nil {
		return capability.Value{}, err
	}
	l.More = !complete
	return capability.JSONValue(l)
}

// Usage is the answer to usage.
type Usage struct {
	Keys     int64 `json:"keys"`
	Bytes    int64 `json:"bytes"`
	MaxKeys  int64 `json:"max_keys"`
	MaxBytes int64 `json:"max_bytes"`
}

func (s *Store) doUsage(c *capability.Call, sc *scope) (capability.Value, error) {
	if _, err := c.Arguments(&struct{}{}); err != nil {
		return capability.Value{}, err
	}
	var u Usage
	err := s.view(c.Tenant, func(_ *bolt.Bucket, held usage) {
		u = Usage{held.keys, held.bytes, sc.quota.keys, sc.quota.bytes}
	})
	if err != nil {
		return capability.Value{}, err
	}
	return capability.JSONValue(u)
}
