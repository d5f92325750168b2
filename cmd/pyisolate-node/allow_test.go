package main

import "testing"

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"open /etc/passwd": "open /etc/passwd", "open /tmp/ä b": "open /tmp/ä b",
		"a\ndenied: fs: b": `a\ndenied: fs: b`, "\x1b[2J": `\x1b[2J`, "\xff": `\xff`, "a\rb": `a\rb`,
	} {
		if got := plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
