package policystore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// checkUsage counts what there is, and compares it with what is said to be there.
func checkUsage(t *transaction) error {
	want := map[string]counts{}
	count := func(tenant string, c counts) {
		sum := want[tenant]
		sum.add(c)
		want[tenant] = sum
	}
	tenantOf := func(key []byte) string {
		tenant, _, _ := strings.Cut(string(key), "\x00")
		return tenant
	}
	each := func(bucket []byte, f func(k, body []byte)) error {
		return t.tx.Bucket(bucket).ForEach(func(k, v []byte) error {
			body, err := t.open(bucket, k, v)
			f(k, body)
			return err
		})
	}
	err := errors.Join(
		each(policyBucket, func(k, _ []byte) { count(NameTenant(string(k)), counts{policies: 1}) }),
		each(versionBucket, func(k, _ []byte) { count(NameTenant(tenantOf(k)), counts{versions: 1}) }),
		each(textBucket, func(k, body []byte) { count(tenantOf(k), counts{textBytes: uint64(len(body))}) }),
		t.eachToken(func(r tokenRecord) { count(r.info.Tenant, counts{tokens: 1}) }),
		each(usageBucket, func(k, _ []byte) {
			count(tenantOf(k), counts{}) // so that one without anything is compared
		}))
	if err != nil {
		return err
	}
	var all counts
	for tenant, c := range want {
		u, err := t.usage(tenant)
		if err != nil || u.counts != c {
			return fmt.Errorf("tenant %q has %+v, and %+v is noted, %w", tenant, c, u, err)
		}
		all.add(c)
	}
	if all != t.head.counts {
		return fmt.Errorf("all have %+v, and %+v is noted", all, t.head.counts)
	}
	return nil
}

// TestTenantsFillTheirShare has one tenant take all it can: it may go on changing what it
// has, and neither other tenants nor who is of none notices.
func TestTenantsFillTheirShare(t *testing.T) {
	l := standardLimits
	l.policies, l.textBytes, l.versions, l.tokens = 20, 4<<20, 400, 8
	c := newClock()
	s := openLimited(t, Config{Now: c.now}, l)
	put := func(p Principal, name string, text string) error {
		c.add(time.Second)
		_, err := s.Put(t.Context(), p, PutRequest{Name: name, Text: []byte(text)})
		return err
	}
	made := 0
	for put(acme, fmt.Sprint("acme/p", made), "x") == nil {
		made++
	}
	if err := put(acme, "acme/more", "x"); made != 5 || !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), "more than 5 policies of tenant acme") {
		t.Errorf("after %d policies: %v", made, err)
	}
	for i := range 100 { // 10 MiB, and 101 versions of one
		if err := put(acme, "acme/p0", fmt.Sprint(i)+strings.Repeat("y", 100<<10)); err != nil {
			t.Fatalf("change %d: %v", i, err)
		}
	}
	for i := range 11 {
		_ = put(acme, fmt.Sprint("acme/p", i%5), fmt.Sprint(i)+strings.Repeat("z", 400<<10)) // some are too much
	}
	if err := put(acme, "acme/p4", strings.Repeat("z", 1000<<10)); !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), "bytes of texts of tenant acme") {
		t.Error(err)
	}
	other := Principal{Name: "bob", Role: PolicyAdmin, Tenant: "other"}
	for what, err := range map[string]error{
		"another tenant":        put(other, "other/p", "x"),
		"all tenants":           put(editor, "urgent", "x"),
		"all tenants, of acme":  put(editor, "acme/urgent", strings.Repeat("d", 900<<10)),
		"acme after a deletion": deleteThenPut(t, s),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.VerifyAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.state.view(checkUsage); err != nil {
		t.Error(err)
	}
}

func deleteThenPut(t *testing.T, s *Store) error {
	for i := range 5 {
		if _, err := s.Delete(t.Context(), acme, DeleteRequest{Name: fmt.Sprint("acme/p", i)}); err != nil {
			return err
		}
	}
	v, err := s.Put(t.Context(), acme, PutRequest{Name: "acme/new", Text: []byte("x")})
	if err == nil && v.Number <= 100 {
		err = fmt.Errorf("its number is %d, which a policy that was forgotten had", v.Number)
	}
	return err
}

// TestReserve: tenants together leave a quarter to principals of all.
func TestReserve(t *testing.T) {
	l := standardLimits
	l.policies = 20
	s := openLimited(t, Config{}, l)
	made := 0
	for i := range 20 {
		tenant := fmt.Sprint("t", i%5)
		p := Principal{Name: "x", Role: PolicyAdmin, Tenant: tenant}
		if _, err := s.Put(t.Context(), p, PutRequest{Name: fmt.Sprintf("%s/p%d", tenant, i), Text: []byte("x")}); err == nil {
			made++
		}
	}
	if made != 15 {
		t.Errorf("%d policies, want 15", made)
	}
	for i := range 5 {
		mustPut(t, s, fmt.Sprint("p", i), "x")
	}
}

// TestOldVersionsAreDropped keeps the newest of a policy that changes again and again.
func TestOldVersionsAreDropped(t *testing.T) {
	l := standardLimits
	l.perPolicy = 10
	s := openLimited(t, Config{}, l)
	w := mustWatch(t, s, "", 0)
	r := PutRequest{Name: "etl", Text: []byte("first"), RequestID: "1"}
	if _, err := s.Put(t.Context(), editor, r); err != nil {
		t.Fatal(err)
	}
	for i := range 49 {
		mustPut(t, s, "etl", fmt.Sprint(i%3))
	}
	history, err := s.History(t.Context(), "etl", 0, maxHistory)
	if err != nil || len(history) != 10 || history[9].Number != 41 {
		t.Errorf("%d versions, %v", len(history), err)
	}
	_, getErr := s.Get(t.Context(), "etl", 40, Stale)
	_, rollErr := s.Rollback(t.Context(), editor, RollbackRequest{Name: "etl", To: 40})
	_, nextErr := w.Next(t.Context())
	for what, c := range map[string]struct{ err, is error }{
		"get": {getErr, ErrNotFound}, "roll back": {rollErr, ErrNotFound}, "watch": {nextErr, ErrCompacted},
	} {
		if !errors.Is(c.err, c.is) || !strings.Contains(c.err.Error(), "no longer kept") {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if v, err := s.Put(t.Context(), editor, r); err != nil || v.Number != 1 {
		t.Errorf("a request that was made long ago: %+v, %v", v, err)
	}
	if v, err := s.Rollback(t.Context(), editor, RollbackRequest{Name: "etl", To: 41}); err != nil || v.Hash != history[9].Hash {
		t.Errorf("the oldest: %+v, %v", v, err)
	}
	if sum, err := s.VerifyAudit(t.Context()); err != nil || sum.Records != 51 || sum.Versions != 10 {
		t.Errorf("%+v, %v", sum, err)
	}
	if st, err := s.Status(t.Context()); err != nil || st.TextBytes != 3 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestRefusedDropsNothing has a change that too little could make room for.
func TestRefusedDropsNothing(t *testing.T) {
	l := standardLimits
	l.textBytes = 400
	s := openLimited(t, Config{}, l)
	put := func(name string, size int) error {
		_, err := s.Put(t.Context(), acme, PutRequest{Name: name, Text: []byte(strings.Repeat(name[len(name)-1:], size))})
		return err
	}
	for _, err := range []error{put("acme/a", 20), put("acme/a", 21), put("acme/b", 40)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := put("acme/c", 60); !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), "too little that may be dropped") {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "acme/a", 1, Stale); err != nil {
		t.Error("a change that was refused dropped a version:", err)
	}
	if err := put("acme/c", 39); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), "acme/a", 1, Stale); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}
