package server

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/policystore"
)

// FuzzPrincipal: whatever a node says of who calls, there is an error or a principal with a name and a
// role, and that one goes on to a third node as it is.
func FuzzPrincipal(f *testing.F) {
	for _, seed := range []string{`{"name":"x","role":"admin"}`, `{"name":"uid:0@n1","role":"operator","tenant":"shop","token":"0a"}`,
		"", "{", "null", "[]", `{"role":"admin"}`, `{"name":"x"}`, `{"name":"x","role":"Admin"}`, `{"name":"x","role":5}`,
		`{"name":"","role":"admin"}`, `{"name":"x","role":"viewer","role":"admin"}`, `{"name":"x","role":"admin"}{}`,
		`{"NAME":"x","ROLE":"admin"}`, `{"name":"\u0000\r\nX: y","role":"admin"}`, `{"name":"\ud800\u007f","role":"admin"}`,
		"{\"name\":\"\xff\",\"role\":\"admin\"}", strings.Repeat("[", 1<<12)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		p, err := passedOn("n1", header)
		if err != nil {
			if p != (policystore.Principal{}) {
				t.Errorf("an error, and %+v", p)
			}
			return
		}
		if p.Name == "" || !p.Role.Valid() {
			t.Errorf("%q is %+v", header, p)
		}
		text := encodePrincipal(p)
		if strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
			t.Errorf("%q is no header", text)
		}
		if again, err := passedOn("n2", text); err != nil || again != p {
			t.Errorf("%+v went on as %+v, %v", p, again, err)
		}
	})
}

// What names hold reaches the other node by HTTP, byte for byte.
func TestPrincipalOverHTTP(t *testing.T) {
	for _, name := range []string{"ann", "uid:0@n1", "Zoë of 東京", "tab\tand\x7fdel", `quote"back\slash`, strings.Repeat("ü", 64)} {
		want := policystore.Principal{Name: name, Role: policystore.Operator, Tenant: "shop", TokenID: "00ff"}
		var got policystore.Principal
		s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got, _ = passedOn("n1", r.Header.Get(principalHeader))
		}))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(principalHeader, encodePrincipal(want))
		answer, err := s.Client().Do(r)
		if err != nil {
			t.Errorf("%q: %v", name, err)
		} else {
			_ = answer.Body.Close()
			if got != want {
				t.Errorf("%q came as %+v", name, got)
			}
		}
		s.Close()
	}
}
