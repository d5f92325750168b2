package host

import (
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/internal/boottime"
)

// What a host was greeted with may be over before it is ready. It acts on what it hears then, and
// otherwise on that, before it has a guest.
func TestLeaseThatIsOverBeforeTheHostIsReady(t *testing.T) {
	over, long := int64(boottime.Now()), int64(boottime.Now()+time.Hour)
	for _, c := range []struct {
		name string
		then func(*lease)
		ends bool
	}{
		{"it has no guest", func(*lease) {}, false},
		{"it hears of the next", func(l *lease) { l.extend(long); l.begin() }, false},
		{"it hears of none", func(l *lease) { l.begin() }, true},
		{"it hears of one that is over", func(l *lease) { l.extend(over) }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ended := false
			l := newLease(func() { ended = true })
			defer l.stop()
			l.greeted(over)
			c.then(l)
			if ended != c.ends {
				t.Errorf("it ended: %v", ended)
			}
		})
	}
}
