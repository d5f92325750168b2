package policystore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/policystore/token"
)

func mustCreate(t testing.TB, s *Store, r TokenRequest) (string, TokenInfo) {
	t.Helper()
	secret, info, err := s.CreateToken(t.Context(), root, r)
	if err != nil {
		t.Fatal(err)
	}
	return secret, info
}

func TestTokens(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	s := openTest(t, Config{Now: clock.now})
	secret, info := mustCreate(t, s, TokenRequest{Name: "ci", Role: PolicyAdmin, Tenant: "acme", Expires: clock.at.Add(time.Hour)})
	p, err := s.Authenticate(ctx, secret, "here")
	if want := (Principal{Name: "ci", Role: PolicyAdmin, Tenant: "acme", TokenID: info.ID}); err != nil || p != want {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := s.Put(ctx, p, PutRequest{Name: "acme/etl", Text: []byte("x")}); err != nil {
		t.Error(err)
	}
	_, other := mustCreate(t, s, TokenRequest{Name: "other", Role: Viewer})
	infos, err := s.ListTokens(ctx, root)
	if err != nil || len(infos) != 2 || !cmp.Equal(infos, []TokenInfo{info, other}) && !cmp.Equal(infos, []TokenInfo{other, info}) {
		t.Errorf("%+v, %v", infos, err)
	}
	tenantAdmin := Principal{Name: "boss", Role: Admin, Tenant: "acme"}
	if infos, err = s.ListTokens(ctx, tenantAdmin); err != nil || !cmp.Equal(infos, []TokenInfo{info}) {
		t.Errorf("%+v, %v", infos, err)
	}
	clock.add(time.Hour)
	if _, err := s.Authenticate(ctx, secret, "here"); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an expired token: %v", err)
	}
	if _, err := s.Put(ctx, p, PutRequest{Name: "acme/etl", Text: []byte("y")}); !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired principal: %v", err)
	}
	if revoked, err := s.RevokeToken(ctx, tenantAdmin, info.ID); err != nil || !revoked.Revoked.Equal(clock.at) {
		t.Errorf("%+v, %v", revoked, err)
	}
}

// TestRevokedInBetween revokes a token after its principal was authenticated.
func TestRevokedInBetween(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	secret, info := mustCreate(t, s, TokenRequest{Name: "ci", Role: Admin})
	p, err := s.Authenticate(ctx, secret, "here")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.RevokeToken(ctx, p, info.ID); err != nil && !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	_, putErr := s.Put(ctx, p, PutRequest{Name: "etl", Text: []byte("x")})
	_, _, createErr := s.CreateToken(ctx, p, TokenRequest{Name: "more", Role: Viewer})
	for what, err := range map[string]error{"put": putErr, "create": createErr} {
		if !errors.Is(err, ErrDenied) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.Authenticate(ctx, secret, "here"); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	records, err := s.Audit(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	denied := 0
	for _, r := range records {
		if r.Denied != "" && r.TokenID == info.ID {
			denied++
		}
	}
	if denied != 3 {
		t.Errorf("%d refusals are recorded, want those of revoke, put and create: %+v", denied, records)
	}
}

func TestTokenRefusals(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	s := openTest(t, Config{Now: clock.now})
	_, info := mustCreate(t, s, TokenRequest{Name: "ci", Role: Viewer})
	tenantAdmin := Principal{Name: "boss", Role: Admin, Tenant: "acme"}
	create := func(p Principal, r TokenRequest) error {
		_, _, err := s.CreateToken(ctx, p, r)
		return err
	}
	revoke := func(p Principal, id string) error {
		_, err := s.RevokeToken(ctx, p, id)
		return err
	}
	_, listErr := s.ListTokens(ctx, editor)
	ok := TokenRequest{Name: "x", Role: Viewer}
	for name, c := range map[string]struct{ err, is error }{
		"policy-admin":        {create(editor, ok), ErrDenied},
		"all tenants":         {create(tenantAdmin, ok), ErrDenied},
		"other tenant":        {create(tenantAdmin, TokenRequest{Name: "x", Role: Viewer, Tenant: "other"}), ErrDenied},
		"a user's name":       {create(tenantAdmin, TokenRequest{Name: "uid:0", Role: Viewer, Tenant: "acme"}), ErrInvalid},
		"two lines":           {create(root, TokenRequest{Name: "a\nb", Role: Viewer}), ErrInvalid},
		"C1":                  {create(root, TokenRequest{Name: "a\u009b2J", Role: Viewer}), ErrInvalid},
		"right to left":       {create(root, TokenRequest{Name: "a\u202eb", Role: Viewer}), ErrInvalid},
		"no name":             {create(root, TokenRequest{Role: Viewer}), ErrInvalid},
		"no role":             {create(root, TokenRequest{Name: "x"}), ErrInvalid},
		"tenant":              {create(root, TokenRequest{Name: "x", Role: Viewer, Tenant: "a/b"}), ErrInvalid},
		"expired":             {create(root, TokenRequest{Name: "x", Role: Viewer, Expires: clock.at}), ErrInvalid},
		"in 400 years":        {create(root, TokenRequest{Name: "x", Role: Viewer, Expires: clock.at.AddDate(400, 0, 0)}), ErrInvalid},
		"revoke nothing":      {revoke(root, "0000000000000000"), ErrNotFound},
		"revoke what":         {revoke(root, "etl"), ErrInvalid},
		"revoke as editor":    {revoke(editor, info.ID), ErrDenied},
		"revoke of all":       {revoke(tenantAdmin, info.ID), ErrNotFound},
		"list as editor":      {listErr, ErrDenied},
		"own tenant is right": {create(tenantAdmin, TokenRequest{Name: "x", Role: Admin, Tenant: "acme"}), nil},
	} {
		if !errors.Is(c.err, c.is) {
			t.Errorf("%s: %v", name, c.err)
		}
	}
}

// TestRevokeIsNoOracle: an admin of a tenant is told of another tenant's token what he is told of none.
func TestRevokeIsNoOracle(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	_, other := mustCreate(t, s, TokenRequest{Name: "ci", Role: Viewer, Tenant: "other"})
	const none = "00000000000000ff"
	answer := func(p Principal, id string) string {
		_, err := s.RevokeToken(ctx, p, id)
		if err == nil {
			t.Fatalf("%s has revoked %s", p.Name, id)
		}
		return strings.ReplaceAll(err.Error(), id, "ID")
	}
	for _, p := range []Principal{
		{Name: "boss", Role: Admin, Tenant: "acme"}, acme, editor,
	} {
		if one, no := answer(p, other.ID), answer(p, none); one != no {
			t.Errorf("%+v hears %q of a token that there is, and %q of one that there is not", p, one, no)
		}
	}
	infos, err := s.ListTokens(ctx, root)
	if err != nil || len(infos) != 1 || !infos[0].Revoked.IsZero() {
		t.Errorf("%+v, %v", infos, err)
	}
}

// TestTokensDoNotOutliveTheirMaker: what a token makes ends with it at the latest.
func TestTokensDoNotOutliveTheirMaker(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	s := openTest(t, Config{Now: clock.now})
	end := clock.at.Add(time.Hour)
	maker := func(r TokenRequest) Principal {
		secret, _ := mustCreate(t, s, r)
		p, err := s.Authenticate(ctx, secret, "here")
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	ending := maker(TokenRequest{Name: "ending", Role: Admin, Expires: end})
	endless := maker(TokenRequest{Name: "endless", Role: Admin})
	for name, c := range map[string]struct {
		p       Principal
		expires time.Time
		is      error
	}{
		"never":              {ending, time.Time{}, ErrDenied},
		"later":              {ending, end.Add(1), ErrDenied},
		"with it":            {ending, end, nil},
		"before":             {ending, end.Add(-1), nil},
		"of an endless one":  {endless, time.Time{}, nil},
		"later than nothing": {endless, end.Add(1), nil},
		"of a local user":    {root, time.Time{}, nil},
	} {
		_, _, err := s.CreateToken(ctx, c.p, TokenRequest{Name: "x", Role: Viewer, Expires: c.expires})
		if !errors.Is(err, c.is) || c.is != nil && !strings.Contains(err.Error(), end.Format(time.RFC3339)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthenticateLimits(t *testing.T) {
	ctx, clock := t.Context(), newClock()
	s := openTest(t, Config{Now: clock.now})
	secret, _ := mustCreate(t, s, TokenRequest{Name: "ci", Role: Viewer})
	mistyped := secret[:20] + string(secret[20]^1) + secret[21:]
	for i := range failureBurst {
		_, err := s.Authenticate(ctx, []string{mistyped, token.New().Reveal(), ""}[i%3], "there")
		if !errors.Is(err, ErrUnauthenticated) {
			t.Fatal(err)
		}
		if i%3 == 0 && !errors.Is(err, token.ErrMalformed) {
			t.Errorf("a typing error is not named: %v", err)
		}
	}
	for range 2 { // and what is refused makes the wait no longer
		if _, err := s.Authenticate(ctx, mistyped, "there"); !errors.Is(err, ErrLimited) || !strings.Contains(err.Error(), "in 5s") {
			t.Error(err)
		}
	}
	if _, err := s.Authenticate(ctx, secret, "there"); err != nil {
		t.Error("a valid one is refused for others' failures:", err)
	}
	if _, err := s.Authenticate(ctx, mistyped, "elsewhere"); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
	clock.add(failureEvery)
	if _, err := s.Authenticate(ctx, mistyped, "there"); !errors.Is(err, ErrUnauthenticated) {
		t.Error(err)
	}
}

func TestFailuresAreBounded(t *testing.T) {
	clock := newClock()
	f := newFailures(clock.now)
	for i := range maxSources + 10 {
		clock.add(time.Millisecond)
		f.add(fmt.Sprint(i))
	}
	if len(f.sources) != maxSources || f.sources["0"] != nil || f.sources[fmt.Sprint(maxSources+9)] == nil {
		t.Errorf("%d sources", len(f.sources))
	}
}

func TestFirstToken(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	mustClose(t, mustOpen(t, Config{Dir: dir})) // nobody wants to know it
	refusal := errors.New("disk full")
	if _, err := Open(ctx, Config{Dir: dir, FirstToken: func(string) error { return refusal }}); !errors.Is(err, refusal) {
		t.Fatal(err)
	}
	var secrets []string
	keep := func(secret string) error {
		secrets = append(secrets, secret)
		return nil
	}
	mustClose(t, mustOpen(t, Config{Dir: dir, FirstToken: keep}))
	s := openTest(t, Config{Dir: dir, FirstToken: keep})
	if len(secrets) != 1 {
		t.Fatalf("%d first tokens", len(secrets))
	}
	p, err := s.Authenticate(ctx, secrets[0], "here")
	if err != nil || p.Role != Admin || p.Tenant != "" {
		t.Errorf("%+v, %v", p, err)
	}
	if _, _, err := s.CreateToken(ctx, p, TokenRequest{Name: "second", Role: Admin}); err != nil {
		t.Error(err)
	}
}

func TestRoles(t *testing.T) {
	for r := Viewer; r <= Admin; r++ {
		if got, err := ParseRole(r.String()); err != nil || got != r {
			t.Error(r, got, err)
		}
	}
	if _, err := ParseRole("king"); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
	for name, c := range map[string]struct {
		p            Principal
		policy       string
		read, change bool
	}{
		"viewer of all":       {reader, "acme/etl", true, false},
		"nobody":              {Principal{}, "etl", false, false},
		"invalid role":        {Principal{Role: 99}, "etl", false, false},
		"own":                 {acme, "acme/etl", true, true},
		"shared":              {acme, "etl", true, false},
		"other's":             {acme, "acmes/etl", false, false},
		"policy-admin of all": {editor, "acme/etl", true, true},
	} {
		if c.p.MayRead(c.policy) != c.read || c.p.MayChange(c.policy) != c.change {
			t.Errorf("%s: %v %v", name, c.p.MayRead(c.policy), c.p.MayChange(c.policy))
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	s := openTest(b, Config{})
	secret, _ := mustCreate(b, s, TokenRequest{Name: "ci", Role: Viewer})
	for b.Loop() {
		if _, err := s.Authenticate(b.Context(), secret, "here"); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTokenValid is not told of failures from the source.
func TestTokenValid(t *testing.T) {
	ctx := t.Context()
	s := openTest(t, Config{})
	secret, info := mustCreate(t, s, TokenRequest{Name: "m", Role: Operator})
	for range failureBurst + 1 {
		if _, err := s.Authenticate(ctx, "rubbish", "here"); err == nil {
			t.Fatal("rubbish is no secret")
		}
	}
	if err := s.TokenValid(ctx, info.ID); err != nil {
		t.Error(err)
	}
	if _, err := s.RevokeToken(ctx, root, info.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Authenticate(ctx, secret, "here"); !errors.Is(err, ErrLimited) {
		t.Error("the limit no longer hides it:", err)
	}
	for _, id := range []string{info.ID, "0000000000000000", ""} {
		if err := s.TokenValid(ctx, id); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
