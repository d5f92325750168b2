package outbound_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/internal/outbound"
)

func TestURL(t *testing.T) {
	for _, c := range []struct {
		url          string
		outer, inner bool // it is permitted to who has these limits
	}{
		{"https://example.com/", true, true},
		{"https://1.1.1.1/", true, true},
		{"http://127.0.0.1:9/", false, true},
		{"http://[::1]/", false, true},
		{"http://10.1.2.3./", false, true},
		{"http://169.254.169.254/latest", false, false},
		{"http://[fe80::1]/", false, false},
		{"http://2130706433/", false, false},
		{"http://0x7f.1/", false, false},
		{"http://127.1/", false, false},
	} {
		u, err := url.Parse(c.url)
		if err != nil {
			t.Fatal(err)
		}
		for inner, want := range map[bool]bool{false: c.outer, true: c.inner} {
			if err := (outbound.Limits{Inner: inner}).URL(u); (err == nil) != want || err != nil && !errors.Is(err, outbound.ErrRefused) {
				t.Errorf("%s, inner %t: %v", c.url, inner, err)
			}
		}
	}
}

func TestHint(t *testing.T) {
	err := outbound.Limits{Hint: "; ask for it"}.Control("tcp", "127.0.0.1:80", nil)
	if err == nil || !strings.HasSuffix(err.Error(), "; ask for it") {
		t.Errorf("error %v", err)
	}
	if err := (outbound.Limits{}).Control("tcp", "nonsense", nil); !errors.Is(err, outbound.ErrRefused) {
		t.Errorf("error %v", err)
	}
}
