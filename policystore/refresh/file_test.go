package refresh_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

func TestSourcesOfATenant(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	o.Inner = true
	r := newRefresher(t, newStore(t), "", o)
	ann := policystore.Principal{Name: "ann", Role: policystore.PolicyAdmin, Tenant: "acme"}
	for i := range 128 {
		r.FollowOften(refresh.Source{Name: fmt.Sprintf("acme/%d", i), URL: "https://169.254.1.1", Every: time.Hour, Principal: ann}) // which nobody connects to
	}
	for _, c := range []struct {
		source refresh.Source
		want   error
	}{
		{refresh.Source{Name: "acme/one-more", Principal: ann}, refresh.ErrSource},
		{refresh.Source{Name: "web", Principal: admin}, nil},
	} {
		c.source.URL, c.source.Every = s.URL, time.Hour
		if _, _, err := r.Pull(t.Context(), c.source); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.source.Name, err, c.want)
		}
	}
}

func TestSourcesAreKept(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	store, file := newStore(t), filepath.Join(t.TempDir(), "sources.json")
	sum := sha256.Sum256([]byte(p.text))
	want := refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, SHA256: sum[:], OtherHosts: true,
		Principal: policystore.Principal{Name: "ci", Role: policystore.PolicyAdmin, Tenant: ""}}
	first := newRefresher(t, store, file, o)
	if _, _, err := first.Pull(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	again := newRefresher(t, store, file, o)
	await.That(t, "a try after the start", func() bool { return !again.Sources()[0].LastOK.IsZero() })
	if got := again.Sources()[0].Source; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("source %v, want %v", got, want)
	}
	if v := newest(t, store, "web"); v.Number != 1 {
		t.Errorf("the policy is at version %d", v.Number)
	}
	if err := again.Remove("web"); err != nil {
		t.Fatal(err)
	}
	if last := newRefresher(t, store, file, o); len(last.Sources()) != 0 {
		t.Errorf("a source that was removed is there: %v", last.Sources())
	}
}

// Whatever a server sends with its document, the node starts with what it has written of that.
func TestServersKeepNoNodeFromStarting(t *testing.T) {
	for _, c := range []struct{ name, header, value string }{
		{"a tag that JSON makes longer", "ETag", `"` + strings.Repeat("\xff", 90) + `"`},
		{"a date of a thousand lines", "Last-Modified", "Mon, 02 Jan 2006 15:04:05." + strings.Repeat("0", 60<<10) + " GMT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &page{text: permits("math")}
			s, o := server(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set(c.header, c.value)
				p.ServeHTTP(w, r)
			})
			store, file := newStore(t), filepath.Join(t.TempDir(), "sources.json")
			first := newRefresher(t, store, file, o)
			if _, _, err := first.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin}); err != nil {
				t.Fatal(err)
			}
			first.Close()
			if info, err := os.Stat(file); err != nil || info.Size() > 4096 { // 256 of them are to fit
				t.Errorf("the file has %d bytes, %v", info.Size(), err)
			}
			if again := newRefresher(t, store, file, o).Sources(); len(again) != 1 {
				t.Errorf("sources after the start: %v", again)
			}
		})
	}
}

// What a file says that a source gave last is known as far as it can be.
func TestSourcesFileSaysWhatCannotBe(t *testing.T) {
	hash := strings.Repeat("A", 43) + "="
	const date = "Mon, 02 Jan 2006 15:04:05 GMT"
	for _, c := range []struct {
		name, seen string
		known      bool
		tag, date  string
	}{
		{"all of it", `{"sha256":"` + hash + `","etag":"\"1\"","last_modified":"` + date + `"}`, true, `"1"`, date},
		{"a short hash", `{"sha256":"AAAA","etag":"\"1\""}`, false, "", ""},
		{"a tag that is none", `{"sha256":"` + hash + `","etag":"x"}`, true, "", ""},
		{"a tag that was other bytes", `{"sha256":"` + hash + `","etag":"\"` + strings.Repeat("\ufffd", 90) + `\""}`, true, "", ""},
		{"no date", `{"sha256":"` + hash + `","last_modified":"yesterday"}`, true, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, err := refresh.DecodeSources([]byte(`{"format":1,"sources":[{"name":"a","url":"https://example.com","every_ns":60000000000,` +
				`"principal":{"Name":"x","Role":3},"seen":` + c.seen + `}]}`))
			if err != nil || len(all) != 1 {
				t.Fatalf("%v, %v", all, err)
			}
			switch seen := all[0].Seen; {
			case (seen != nil) != c.known:
				t.Errorf("seen is %+v", seen)
			case c.known && (seen.ETag != c.tag || seen.LastModified != c.date):
				t.Errorf("tag %q and date %q, want %q and %q", seen.ETag, seen.LastModified, c.tag, c.date)
			}
		})
	}
}

// A file is not replaced by one that nobody would read again.
func TestMoreSourcesThanAFileHas(t *testing.T) {
	all := map[string]refresh.Record{}
	for i := range 2200 {
		s := refresh.Source{Name: fmt.Sprint(i), URL: "https://example.com/" + strings.Repeat("a", 2000), Every: time.Hour, Principal: admin}
		all[s.Name] = refresh.Record{Source: s}
	}
	if _, err := refresh.EncodeSources(all); err == nil || !strings.Contains(err.Error(), "is the most") {
		t.Errorf("error %v", err)
	}
}

func TestSourcesFileIsJudged(t *testing.T) {
	const one = `{"name":"a","url":"https://example.com","every_ns":60000000000,"principal":{"Name":"x","Role":3}}`
	for _, c := range []struct{ name, text, says string }{
		{"garbage", "garbage", "invalid character"},
		{"another format", `{"format":2,"sources":[]}`, "format 2"},
		{"an unknown field", `{"format":1,"sources":[],"x":1}`, "unknown field"},
		{"the same name twice", `{"format":1,"sources":[` + one + `,` + one + `]}`, "twice"},
		{"once only", `{"format":1,"sources":[` + strings.ReplaceAll(one, "60000000000", "0") + `]}`, "not to be repeated"},
		{"a bad source", `{"format":1,"sources":[` + strings.ReplaceAll(one, "https", "http") + `]}`, "anybody on the way"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "sources.json")
			if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := refresh.New(refresh.Config{File: file})
			if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want %q", err, c.says)
			}
		})
	}
}

func TestSourcesThatCannotBeKept(t *testing.T) {
	p := &page{text: permits("math")}
	s, o := server(t, p.ServeHTTP)
	r := newRefresher(t, newStore(t), filepath.Join(t.TempDir(), "missing", "sources.json"), o)
	_, _, err := r.Pull(t.Context(), refresh.Source{Name: "web", URL: s.URL, Every: time.Hour, Principal: admin})
	if err == nil || len(r.Sources()) != 0 {
		t.Errorf("error %v, sources %v", err, r.Sources())
	}
}
