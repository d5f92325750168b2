package launch

import (
	"context"
	"errors"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// A host that has ended before the launcher knows it stays out: nothing would ever take it off the list again.
func TestHostThatHasEndedIsNotEnlisted(t *testing.T) {
	l, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	for name, tc := range map[string]struct {
		host   *hostproc
		listed bool
		err    error
	}{
		"alive":    {&hostproc{}, true, nil},
		"dead":     {&hostproc{dead: true}, false, cell.Busy},
		"retiring": {&hostproc{retiring: true}, true, cell.Busy}, // its end is still to be seen
	} {
		l.mu.Lock()
		err := l.enlist(tc.host)
		_, listed := l.hosts[tc.host]
		delete(l.hosts, tc.host)
		l.mu.Unlock()
		if listed != tc.listed || !errors.Is(err, tc.err) {
			t.Errorf("%s: listed: %t, %v", name, listed, err)
		}
	}
}
