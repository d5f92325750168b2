package policystore

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a request carries, in bytes. They are part of the replicated state's
// rules: changing one needs a new format.
const (
	maxName      = 255
	maxSegment   = 64
	maxPrincipal = 128
	maxRequestID = 128
	maxComment   = 1 << 10
	maxSource    = 2 << 10

	// MaxText is the size of a document.
	MaxText = 1 << 20
)

// Name says whether a policy can be called so, and if not, why: one to four segments with
// slashes between them, each of 1 to 64 letters, digits, ".", "_" and "-", beginning with a
// letter or digit; 255 bytes in all. The first of several segments is the tenant that the
// policy belongs to; a policy of one segment is shared by all.
func Name(name string) error {
	segments := strings.Split(name, "/")
	if len(name) > maxName || len(segments) > 4 {
		return fmt.Errorf("%w: policy name %.40q: longer than %d bytes or four segments", ErrInvalid, name, maxName)
	}
	for _, s := range segments {
		if !segment(s) {
			return fmt.Errorf("%w: policy name %q: %q must be 1 to %d letters, digits, \".\", \"_\" or \"-\", the first a letter or digit",
				ErrInvalid, name, s, maxSegment)
		}
	}
	return nil
}

func segment(s string) bool {
	if s == "" || len(s) > maxSegment {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

func checkTenant(tenant string) error {
	if tenant != "" && !segment(tenant) {
		return fmt.Errorf("%w: tenant %.80q: it must look like a segment of a policy's name", ErrInvalid, tenant)
	}
	return nil
}

// checkText bounds what people write and read: valid UTF-8 without characters that terminals
// act on, or that reorder what is seen. It may have several lines.
func checkText(what, s string, least, most int) error {
	return checkCharacters(what, s, least, most, func(r rune) bool {
		return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
	})
}

// checkLine is checkText for a name or one line, where nothing that is not seen may be.
func checkLine(what, s string, least, most int) error {
	return checkCharacters(what, s, least, most, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
	})
}

func checkCharacters(what, s string, least, most int, bad func(rune) bool) error {
	if len(s) < least || len(s) > most {
		return fmt.Errorf("%w: %s has %d bytes; it must have %d to %d", ErrInvalid, what, len(s), least, most)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
		return fmt.Errorf("%w: %s must be UTF-8 without control and invisible characters", ErrInvalid, what)
	}
	return nil
}
