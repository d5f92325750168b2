package share_test

import (
	"testing"

	"github.com/pyisolate/pyisolate/internal/share"
)

// One alone has a half, two have a third each, and whoever comes finds something.
func TestOf(t *testing.T) {
	for _, c := range []struct{ all, others, want int }{{90, 0, 45}, {90, 30, 30}, {90, 60, 15}, {90, 89, 1}, {90, 90, 1}, {1, 0, 1}} {
		if got := share.Of(c.all, c.others); got != c.want {
			t.Errorf("of %d, when others have %d: %d, want %d", c.all, c.others, got, c.want)
		}
	}
}
