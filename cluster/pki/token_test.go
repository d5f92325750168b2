package pki

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func pemKey(t testing.TB, key any) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: must(x509.MarshalPKCS8PrivateKey(key))(t)})
}

func newToken(t testing.TB, addresses ...string) Token {
	t.Helper()
	return must(NewToken(Fingerprint{1, 2, 3}, addresses))(t)
}

func TestTokenRoundTrip(t *testing.T) {
	for _, list := range [][]string{
		{"127.0.0.1:7000"}, {"[::1]:1", "node.example:65535"}, slicesOf(MaxAddresses, strings.Repeat("h", 253)+":65535"),
	} {
		want := newToken(t, list...)
		got, err := ParseToken(want.Reveal())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%v: %v", list, err)
		}
	}
	for _, list := range [][]string{
		nil, slicesOf(MaxAddresses+1, "h:1"), {""}, {"h"}, {"h:0"}, {"h:65536"}, {":1"}, {"h:http"}, {"a b:1"}, {"é:1"},
		{strings.Repeat("h", 254) + ":65535"},
	} {
		if _, err := NewToken(Fingerprint{}, list); err == nil {
			t.Errorf("%v: made", list)
		}
	}
	if one, two := newToken(t, "h:1"), newToken(t, "h:1"); one.ID() == two.ID() {
		t.Error("two tokens have the same id")
	}
}

func TestTokenPrintsNothingSecret(t *testing.T) {
	tok := newToken(t, "h:1")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, tok); !strings.Contains(got, tok.ID()) || len(got) > 40 {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestTokenMalformed(t *testing.T) {
	text := newToken(t, "h:1").Reveal()
	for name, c := range map[string]struct{ text, says string }{
		"empty":        {"", `begin with "pyjoin1_"`},
		"other prefix": {"pyi_" + text, `begin with "pyjoin1_"`},
		"nothing":      {TokenPrefix, "too short"},
		"short":        {text[:len(text)-5], ""},
		"longer":       {text + "AAAA", "checksum"},
		"too long":     {text + strings.Repeat("A", 10000), "too long"},
		"character":    {text[:20] + "!" + text[21:], "a character that none has"},
		"mistyped":     {text[:20] + string(text[20]^1&0x1f|0x40) + text[21:], ""},
		"addresses":    {seal(newToken(t, "h:1"), func(raw []byte) []byte { raw[tokenFixed-1] = 2; return raw }), "addresses are damaged"},
		"none":         {seal(newToken(t, "h:1"), func(raw []byte) []byte { raw[tokenFixed-1] = 0; return raw[:tokenFixed] }), "0 addresses"},
		"length":       {seal(newToken(t, "h:1"), func(raw []byte) []byte { raw[tokenFixed] = 9; return raw }), "addresses are damaged"},
		"no port":      {seal(newToken(t, "h:1"), func(raw []byte) []byte { raw[tokenFixed+3] = 'x'; return raw }), "not an address"},
	} {
		if _, err := ParseToken(c.text); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// seal is a token that was changed before its checksum was made.
func seal(t Token, change func([]byte) []byte) string {
	raw, _ := tokenText.DecodeString(strings.TrimPrefix(t.Reveal(), TokenPrefix))
	raw = change(raw[:len(raw)-tokenCheck])
	check := tokenSum(raw)
	return TokenPrefix + tokenText.EncodeToString(append(raw, check[:]...))
}

func TestRedeem(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tok, key, otherKey := newToken(t, "h:1"), sha256.Sum256([]byte("key")), sha256.Sum256([]byte("other"))
	open := must(tok.Invite("", now, time.Hour))(t)
	named := must(tok.Invite("one", now, time.Hour))(t)
	used := must(open.Redeem(tok.Secret(), "one", key, now))(t)
	wrong := newToken(t, "h:1").Secret()
	for name, c := range map[string]struct {
		invite Invite
		secret []byte
		node   string
		key    [32]byte
		after  time.Duration
		is     error
	}{
		"open":              {open, tok.Secret(), "one", key, 0, nil},
		"named":             {named, tok.Secret(), "one", key, time.Hour - 1, nil},
		"again":             {used, tok.Secret(), "one", key, time.Minute, nil},
		"wrong secret":      {open, wrong, "one", key, 0, ErrToken},
		"no secret":         {open, nil, "one", key, 0, ErrToken},
		"no record":         {Invite{}, tok.Secret(), "one", key, 0, ErrToken},
		"named otherwise":   {named, tok.Secret(), "two", key, 0, ErrToken},
		"lapsed":            {open, tok.Secret(), "one", key, time.Hour, ErrLapsed},
		"lapsed, used":      {used, tok.Secret(), "one", key, time.Hour, ErrLapsed},
		"lapsed, unknown":   {open, wrong, "one", key, time.Hour, ErrToken},
		"used":              {used, tok.Secret(), "one", otherKey, 0, ErrUsed},
		"used, other name":  {used, tok.Secret(), "two", key, 0, ErrUsed},
		"used, not by you":  {used, wrong, "one", otherKey, 0, ErrToken},
		"used, wrong again": {used, wrong, "one", key, 0, ErrToken},
	} {
		before := c.invite
		got, err := c.invite.Redeem(c.secret, c.node, c.key, now.Add(c.after))
		if !errors.Is(err, c.is) {
			t.Errorf("%s: %v, not %v", name, err, c.is)
		}
		if err != nil && !reflect.DeepEqual(got, before) {
			t.Errorf("%s: refused and changed", name)
		}
		if err == nil && (got.Node != "one" || !bytes.Equal(got.Key, c.key[:])) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if _, err := open.Redeem(tok.Secret(), "Bad Name", key, now); err == nil {
		t.Error("a bad name was taken")
	}
}

func TestInvite(t *testing.T) {
	tok, now := newToken(t, "h:1"), time.Now()
	v := must(tok.Invite("one", now, time.Hour))(t)
	text := must(json.Marshal(v))(t)
	if bytes.Contains(text, tok.Secret()) || v.ID != tok.ID() {
		t.Errorf("%s", text)
	}
	var back Invite
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back, v) && !back.Expires.Equal(v.Expires) {
		t.Errorf("%+v, %v", back, err)
	}
	if _, err := back.Redeem(tok.Secret(), "one", [32]byte{}, now); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"name":  second(tok.Invite("One", now, time.Hour)),
		"never": second(tok.Invite("", now, 0)),
		"long":  second(tok.Invite("", now, MaxInvite+1)),
	} {
		if err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func BenchmarkRedeem(b *testing.B) {
	tok, now := newToken(b, "h:1"), time.Now()
	v := must(tok.Invite("one", now, time.Hour))(b)
	for b.Loop() {
		if _, err := v.Redeem(tok.Secret(), "one", [32]byte{1}, now); err != nil {
			b.Fatal(err)
		}
	}
}
