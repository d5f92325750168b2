package token

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	s := New()
	text := s.Reveal()
	if !strings.HasPrefix(text, "pyi_") || len(text) != 63 {
		t.Errorf("%d characters", len(text))
	}
	got, err := Parse(text)
	if err != nil || got != s {
		t.Fatal(err)
	}
	if !got.Matches(s.Hash()) || New().Matches(s.Hash()) {
		t.Error("Matches")
	}
	if !ValidID(s.ID()) || ValidID("") || ValidID(strings.ToUpper("00000000000000ab")) || ValidID(s.ID()+"00") {
		t.Error("ValidID")
	}
	if New() == s {
		t.Error("two secrets are equal")
	}
}

func TestPrintsNothingSecret(t *testing.T) {
	s := New()
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(format, s); !strings.Contains(got, s.ID()) || len(got) > 30 {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	text := New().Reveal()
	swapped := []byte(text)
	for i := 10; ; i++ {
		if swapped[i] != swapped[i+1] {
			swapped[i], swapped[i+1] = swapped[i+1], swapped[i]
			break
		}
	}
	for name, c := range map[string]struct{ text, says string }{
		"empty":        {"", `begin with "pyi_"`},
		"other prefix": {"ghp_" + text[4:], `begin with "pyi_"`},
		"short":        {text[:62], "62 characters, 63 are right"},
		"long":         {text + "A", "64 characters"},
		"character":    {text[:20] + "!" + text[21:], "a character that none has"},
		"swapped":      {string(swapped), "mistyped"},
		"space":        {text[:62] + " ", "a character that none has"},
	} {
		_, err := Parse(c.text)
		if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(c.text) > 20 && strings.Contains(err.Error(), c.text[8:16]) {
			t.Errorf("%s: the error shows the secret: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New().Reveal())
	f.Add("pyi_")
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := Parse(text); err == nil && s.Reveal() != text {
			t.Errorf("%q is read as %q", text, s.Reveal())
		}
	})
}

func BenchmarkParseAndMatch(b *testing.B) {
	s := New()
	text, hash := s.Reveal(), s.Hash()
	for b.Loop() {
		if got, err := Parse(text); err != nil || !got.Matches(hash) {
			b.Fatal(err)
		}
	}
}
