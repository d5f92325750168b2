package telemetry

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/pyisolate/pyisolate/actors"
)

// The page lists what labels can be, all of it and nothing else.
func TestLabelsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	s := actors.New(actors.Options{})
	defer func() { _ = s.Close(t.Context()) }()
	for _, c := range []struct {
		label string
		where string // the text that lists the values
		known []string
	}{
		{"op", "(?s)`op` is (.*?)\\.", slices.Collect(maps.Keys(operations.known))},
		{"backend", "`backend` is (.*?)\\.", slices.Collect(maps.Keys(backends.known))},
		{"reason of a dead letter", "(?m)^\\| `pyisolate_dead_letters_total` \\| counter \\| `reason` (.*)$", slices.Collect(maps.Keys(s.DeadLetters()))},
		{"reason of a host's end", "(?m)^\\| `pyisolate_host_ends_total` \\| counter \\| `backend`, `reason` (.*)$", slices.Collect(maps.Keys(hostReasons.known))},
		{"limit", "(?m)^\\| `pyisolate_quota_kills_total` \\| counter \\| `limit` (.*)$", slices.Collect(maps.Keys(limits.known))},
	} {
		t.Run(c.label, func(t *testing.T) {
			text := regexp.MustCompile(c.where).FindSubmatch(page)
			if text == nil {
				t.Fatalf("nothing is %s", c.where)
			}
			var listed []string
			for _, word := range regexp.MustCompile("`(.*?)`").FindAllSubmatch(text[1], -1) {
				listed = append(listed, string(word[1]))
			}
			slices.Sort(listed)
			if want := slices.Sorted(slices.Values(c.known)); !slices.Equal(listed, want) {
				t.Errorf("the page lists\n%q, and there are\n%q", listed, want)
			}
		})
	}
}
