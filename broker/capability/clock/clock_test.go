package clock_test

import (
	"encoding/json"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/clock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestClock(t *testing.T) {
	s := captest.Open(t, map[string]capability.Capability{clock.Name: clock.New()}, "clock")
	before := time.Now()
	v, err := s.Ask("clock", "now", "")
	after := time.Now()
	var now clock.Now
	if err != nil || json.Unmarshal(v.Data, &now) != nil || now.Unix < before.UnixNano() || now.Unix > after.UnixNano() {
		t.Errorf("%s, %v", v.Data, err)
	}
	if parsed, err := time.Parse(time.RFC3339Nano, now.RFC3339); err != nil || parsed.UnixNano() != now.Unix {
		t.Errorf("%s is not %d: %v", now.RFC3339, now.Unix, err)
	}
	var last int64 = -1
	for range 100 {
		v, err := s.Ask("clock", "monotonic", "{}")
		var m clock.Monotonic
		if err != nil || json.Unmarshal(v.Data, &m) != nil || m.Nanoseconds < last {
			t.Fatalf("%s after %d, %v", v.Data, last, err)
		}
		last = m.Nanoseconds
	}
	_, err = s.Ask("clock", "set", "")
	captest.Want(t, err, capability.Invalid, "use now, monotonic")
	_, err = s.Ask("clock", "now", `{"tz":"x"}`)
	captest.Want(t, err, capability.Invalid, "tz")
}
