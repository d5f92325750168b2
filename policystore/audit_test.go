package policystore

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAudit(t *testing.T) {
	s := openTest(t, Config{})
	mustPut(t, s, "a", "one")
	second := mustPut(t, s, "a", "two")
	secret, info := mustCreate(t, s, TokenRequest{Name: "ci", Role: PolicyAdmin, Tenant: "acme"})
	if _, err := s.Delete(t.Context(), editor, DeleteRequest{Name: "a", Comment: "old"}); err != nil {
		t.Fatal(err)
	}
	records, err := s.Audit(t.Context(), 0, 100)
	if err != nil || len(records) != 4 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	put, token, remove := records[1], records[2], records[3]
	want := AuditRecord{
		Seq: 2, Index: second.Index, Time: second.Time, Principal: "editor", Role: PolicyAdmin, Action: PutPolicy, Name: "a",
		Before: Change{1, sha256.Sum256([]byte("one"))}, After: Change{2, second.Hash}, Hash: put.Hash,
	}
	if put != want || put.Hash != want.chain(records[0].Hash) {
		t.Errorf("%+v, want %+v", put, want)
	}
	if token.Name != info.ID || token.Comment != "ci: policy-admin of tenant acme" || strings.Contains(token.Comment, secret) {
		t.Errorf("%+v", token)
	}
	if remove.Action != DeletePolicy || remove.Comment != "old" || remove.Before != (Change{2, second.Hash}) || remove.After != (Change{Number: 3}) {
		t.Errorf("%+v", remove)
	}
	if rest, err := s.Audit(t.Context(), 3, 1); err != nil || len(rest) != 1 || rest[0] != token {
		t.Errorf("%+v, %v", rest, err)
	}
	for _, limit := range []int{0, maxAudit + 1} {
		if _, err := s.Audit(t.Context(), 0, limit); !errors.Is(err, ErrInvalid) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if sum, err := s.VerifyAudit(t.Context()); err != nil || sum.Records != 4 || sum.Head != remove.Hash || sum.Versions != 3 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestHashedForGood: what a record's hash is of does not depend on the release. These hashes
// may change with the state's format only.
func TestHashedForGood(t *testing.T) {
	for d := range denialWords {
		r := AuditRecord{Seq: 1, Principal: "ann", Role: Viewer, Action: PutPolicy, Name: "etl", denial: d, Denied: d.String()}
		own := r.chain([32]byte{})
		if r.Denied = "other words"; r.chain([32]byte{}) != own {
			t.Errorf("%d: its words are hashed", d)
		}
		if again, err := decodeAudit(r.encode()); err != nil || again.Denied != d.String() {
			t.Errorf("%d: %+v, %v", d, again, err)
		}
	}
	r := AuditRecord{
		Seq: 2, Index: 7, Time: newClock().at, Principal: "ann", Role: Admin, Tenant: "acme", Action: CreateToken, Name: "0123456789abcdef",
		Comment: TokenInfo{Name: "ci", Role: PolicyAdmin, Tenant: "acme", Expires: newClock().at}.grant(), denial: deniedExpired,
	}
	if got, want := fmt.Sprintf("%x", r.chain([32]byte{1})), "902c0b4ca0579a478d08f2cd34ae0ff838115b429526e27d175d8346cf828546"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestOneRecordForEach: refusals that are nobody's deed leave none.
func TestOneRecordForEach(t *testing.T) {
	s := openTest(t, Config{})
	mustPut(t, s, "etl", "one")
	if _, err := s.Put(t.Context(), editor, PutRequest{Name: "etl", Text: []byte("x"), Expect: number(7)}); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	_, info := mustCreate(t, s, TokenRequest{Name: "ci", Role: Viewer})
	p := editor
	p.TokenID = info.ID
	if _, err := s.Put(t.Context(), p, PutRequest{Name: "etl", Text: []byte("x")}); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "needs the role policy-admin") {
		t.Error(err)
	}
	records, err := s.Audit(t.Context(), 0, 10)
	if err != nil || len(records) != 3 || records[2].Denied != deniedRole.String() || records[2].Name != "etl" {
		t.Errorf("%+v, %v", records, err)
	}
}

// TestVerifyAuditFinds changes the state as somebody would who knows how records are sealed
// and summed up, and cannot be found by that.
func TestVerifyAuditFinds(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *transaction) error
		says   string
	}{
		{"nothing", func(*transaction) error { return nil }, ""},
		{"who did it", func(t *transaction) error {
			return changeRecord(t, 2, func(r *AuditRecord) { r.Principal = "mallory" })
		}, "audit record 2 does not match"},
		{"who did it, with another hash", func(t *transaction) error {
			return changeRecord(t, 2, func(r *AuditRecord) {
				r.Principal = "mallory"
				before, _ := t.auditRecord(1)
				r.Hash = r.chain(before.Hash)
			})
		}, "is not as audit record 2 has it"},
		{"the last record is dropped", func(t *transaction) error {
			t.head.audit--
			return t.remove(auditBucket, indexKey(3))
		}, "not the one that was written last"},
		{"a record in the middle is dropped", func(t *transaction) error { return t.remove(auditBucket, indexKey(2)) }, "missing"},
		{"a version's author", func(t *transaction) error {
			v, err := t.version("a", 1)
			if err != nil {
				return err
			}
			v.Author = "mallory"
			return t.put(versionBucket, versionKey("a", 1), encodeVersion(v))
		}, "version 1 of policy a is not as audit record 1"},
		{"a text", func(t *transaction) error {
			hash := sha256.Sum256([]byte("one"))
			return t.put(textBucket, tenantKey("", hash[:]), []byte("allow everything"))
		}, "has another hash"},
		{"a version more", func(t *transaction) error {
			t.head.counts.versions++
			return t.put(versionBucket, versionKey("b", 1), encodeVersion(Version{Number: 1}))
		}, "tell of 3 versions, and there are 4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := openTest(t, Config{})
			for _, text := range []string{"one", "two", "three"} {
				mustPut(t, s, "a", text)
			}
			if err := s.state.update(c.change); err != nil {
				t.Fatal(err)
			}
			if err := s.state.view((*transaction).verify); err != nil {
				t.Fatal("the test's change is seen without the chain:", err)
			}
			_, err := s.VerifyAudit(t.Context())
			if (err == nil) != (c.says == "") || err != nil && (!errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}

func changeRecord(t *transaction, seq uint64, change func(*AuditRecord)) error {
	r, err := t.auditRecord(seq)
	if err != nil {
		return err
	}
	change(&r)
	return t.put(auditBucket, indexKey(seq), r.encode())
}
