package policystore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestPace has a tenant's principal change things as fast as it can.
func TestPace(t *testing.T) {
	c := newClock()
	s := openTest(t, Config{Now: c.now})
	put := func(p Principal, size int) error {
		_, err := s.Put(t.Context(), p, PutRequest{Name: "acme/etl", Text: []byte(strings.Repeat("x", size))})
		return err
	}
	for i := range 10 {
		if err := put(acme, MaxText); err != nil { // 17 each
			t.Fatal(i, err)
		}
	}
	made := 0
	var err error
	for err = put(acme, 1); err == nil && made < 100; err = put(acme, 1) {
		made++
	}
	if made != 30 || !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), "tenant acme has made too many changes; try again in 100ms") {
		t.Errorf("after %d changes: %v", made, err)
	}
	if err := put(editor, 1); err != nil {
		t.Errorf("a principal of all tenants: %v", err)
	}
	if _, err := s.Put(t.Context(), Principal{Name: "bob", Role: PolicyAdmin, Tenant: "other"}, PutRequest{Name: "other/etl", Text: []byte("x")}); err != nil {
		t.Errorf("another tenant: %v", err)
	}
	c.add(100 * time.Millisecond)
	if err := put(acme, 1); err != nil {
		t.Error(err)
	}
}

func TestPaceForgets(t *testing.T) {
	c := newClock()
	p := newPace(c.now)
	for i := range maxPaced + 10 {
		if err := p.take(fmt.Sprint(i), 0); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.tenants) > maxPaced {
		t.Errorf("%d tenants", len(p.tenants))
	}
}

// TestNoRecordOfNothing revokes tokens that there are not.
func TestNoRecordOfNothing(t *testing.T) {
	s := openTest(t, Config{})
	for i := range 20 {
		boss := Principal{Name: "boss", Role: Admin, Tenant: "acme"}
		if _, err := s.RevokeToken(t.Context(), boss, fmt.Sprintf("%016x", i)); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	}
	if st, err := s.Status(t.Context()); err != nil || st.AuditRecords != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}
