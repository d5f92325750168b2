package webhook

import (
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"

	"github.com/pyisolate/pyisolate/internal/outbound"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Hook is a URL that events are posted to.
type Hook struct {
	// Name is told in logs and metrics; default: the URL's host. Names differ.
	Name string `json:"name,omitempty"`
	// URL is https; http only with Inner.
	URL string `json:"url"`
	// Kinds of events; empty: all.
	Kinds []events.Kind `json:"kinds,omitempty"`
	// Tenant: only events of that one; empty: all.
	Tenant string `json:"tenant,omitempty"`
	// SecretFile has the key that signs, 16 to 4096 bytes, without the line end that may follow.
	// It is read for each request, so that it can be replaced, and is for its owner alone. Empty:
	// requests are not signed.
	SecretFile string `json:"secret_file,omitempty"`
	// Inner: the URL may lead to this machine and to private networks.
	Inner bool `json:"inner,omitempty"`
}

// wants reports whether an event is one of the hook's.
func (h Hook) wants(e events.Event) bool {
	return (len(h.Kinds) == 0 || slices.Contains(h.Kinds, e.Kind)) && (h.Tenant == "" || h.Tenant == e.Tenant)
}

func (h Hook) limits() outbound.Limits {
	return outbound.Limits{Inner: h.Inner, Hint: "; permit it with inner"}
}

// withDefaults has a name.
func (h Hook) withDefaults() Hook {
	if u, err := url.Parse(h.URL); err == nil && h.Name == "" {
		h.Name = u.Host
	}
	return h
}

// Validate reports all that is wrong. It does not look the host up.
func (h Hook) Validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("webhook %s: "+format, append([]any{events.Text(h.withDefaults().Name, 64)}, args...)...))
	}
	u, err := url.Parse(h.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		add("url: write https://HOST/PATH")
	case u.User != nil || u.Fragment != "":
		add("url has a user name or a fragment: leave it out")
	case u.Scheme == "http" && !h.Inner:
		add("url: with http anybody on the way can read: use https, or permit inner addresses")
	default:
		if err := h.limits().URL(u); err != nil {
			add("url: %w", err)
		}
	}
	for _, k := range h.Kinds {
		if !k.Valid() {
			add("kind %.64q is not known: write one of %v", string(k), events.Kinds())
		}
	}
	if _, err := h.secret(); err != nil {
		add("secret file: %w", err)
	}
	return errors.Join(errs...)
}

// secret is the key, nil where there is none.
func (h Hook) secret() ([]byte, error) {
	if h.SecretFile == "" {
		return nil, nil
	}
	info, err := os.Stat(h.SecretFile)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others than its owner: chmod 600 it", h.SecretFile)
	}
	if info.Size() > maxSecret+2 {
		return nil, fmt.Errorf("%s has %d bytes; %d is the most", h.SecretFile, info.Size(), maxSecret)
	}
	key, err := os.ReadFile(h.SecretFile)
	if err != nil {
		return nil, err
	}
	key = bytes.TrimRight(key, "\r\n")
	if len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("%s has a key of %d bytes; %d to %d are right", h.SecretFile, len(key), minSecret, maxSecret)
	}
	return key, nil
}

const minSecret, maxSecret = 16, 4096
