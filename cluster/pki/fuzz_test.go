package pki

import (
	"crypto/x509"
	"strings"
	"testing"
	"time"
)

func FuzzToken(f *testing.F) {
	f.Add(newToken(f, "127.0.0.1:7000").Reveal())
	f.Add(newToken(f, "[::1]:1", "node.example:65535").Reveal())
	f.Add(TokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		if tok, err := ParseToken(text); err == nil && tok.Reveal() != text {
			t.Errorf("%q is read, and written %q", text, tok.Reveal())
		}
	})
}

// FuzzTokenBody gets behind the checksum.
func FuzzTokenBody(f *testing.F) {
	raw, _ := tokenText.DecodeString(strings.TrimPrefix(newToken(f, "[::1]:1", "h:2").Reveal(), TokenPrefix))
	f.Add(raw[:len(raw)-tokenCheck])
	f.Fuzz(func(t *testing.T, raw []byte) {
		check := tokenSum(raw)
		text := TokenPrefix + tokenText.EncodeToString(append(raw, check[:]...))
		tok, err := ParseToken(text)
		if err == nil && tok.Reveal() != text {
			t.Errorf("%x is read, and written %q", raw, tok.Reveal())
		}
	})
}

func FuzzNode(f *testing.F) {
	f.Add(Node{newCluster(), "one"}.String())
	f.Add("pyisolate://00000000000000000000000000000000/node/" + strings.Repeat("n", MaxName))
	f.Add("spiffe://example/node/one")
	f.Fuzz(func(t *testing.T, uri string) {
		n, err := ParseNode(uri)
		if err == nil && (n.String() != uri || n.uri().String() != uri || !ValidName(n.Name)) {
			t.Errorf("%q is read as %+v", uri, n)
		}
	})
}

func FuzzSign(f *testing.F) {
	a := newAuthority(f)
	f.Add(must(NewRequest("one"))(f).DER())
	f.Fuzz(func(t *testing.T, request []byte) {
		der, err := a.Sign(request, "one", time.Hour)
		if err != nil {
			return
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := checkIssued(c, a.cert); err != nil || p.Name != "one" || c.IsCA {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func FuzzFile(f *testing.F) {
	a := newAuthority(f)
	file := path(f)
	if err := newIdentity(f, a, "one").Save(file); err != nil {
		f.Fatal(err)
	}
	f.Add(must(read(file))(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, certs, err := decode(text); err == nil && key == nil && certs != nil {
			t.Error("no key and no error")
		}
	})
}

func TestNames(t *testing.T) {
	id := newCluster()
	for uri, ok := range map[string]bool{
		"pyisolate://" + id + "/node/one":                           true,
		"pyisolate://" + id + "/node/-":                             true,
		"pyisolate://" + id + "/node/":                              false,
		"pyisolate://" + id + "/node/One":                           false,
		"pyisolate://" + id + "/node/a.b":                           false,
		"pyisolate://" + id + "/node/a/b":                           false,
		"pyisolate://" + id + "/node/" + strings.Repeat("n", 64):    false,
		"pyisolate://" + strings.ToUpper("ab"+id[2:]) + "/node/one": false,
		"pyisolate://" + id[1:] + "/node/one":                       false,
		"pyisolate://" + id + "/cell/one":                           false,
		"pyisolate://u@" + id + "/node/one":                         false,
		"pyisolate://" + id + "/node/one?x":                         false,
		"PyIsolate://" + id + "/node/one":                           false,
		"":                                                          false,
	} {
		if n, err := ParseNode(uri); (err == nil) != ok || ok && n.String() != uri {
			t.Errorf("%q: %+v, %v", uri, n, err)
		}
	}
}
