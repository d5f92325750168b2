package seal

import (
	"crypto/rand"
	"fmt"
	"io"
	"time"
)

// Thresholds of rekeying: an epoch's key seals no more frames and serves no longer.
const (
	MaxRekeyFrames = 1 << 32
	MaxRekeyAfter  = time.Hour
)

// Config is what a side brings to a handshake.
type Config struct {
	// Secret is the launch secret. The handshake takes it over and destroys it,
	// whatever the outcome: a secret is good for one attempt.
	Secret *Secret
	// Suites are all that the local policy allows; none means XWing alone. The
	// initiator offers them all and uses the strongest, so X25519 is used only by
	// an initiator that allows nothing else. A responder refuses an offer with a
	// suite that it does not allow itself.
	Suites []Suite
	// RekeyFrames and RekeyAfter bound the frames sealed in an epoch and its age
	// when a frame is sealed. Zero means MaxRekeyFrames and MaxRekeyAfter, which
	// are the most. They concern the sending direction only: the peer follows.
	RekeyFrames uint64
	RekeyAfter  time.Duration

	random io.Reader            // nil: the system's
	clock  func() time.Duration // nil: monotonic time
}

// prepared returns the configuration with defaults filled in, without the secret.
func (c Config) prepared() (Config, error) {
	suites, err := policy(c.Suites)
	if err != nil {
		return c, err
	}
	if c.RekeyFrames > MaxRekeyFrames || c.RekeyAfter > MaxRekeyAfter || c.RekeyAfter < 0 {
		return c, fmt.Errorf("%w: rekey after %d frames or %v; at most %d or %v",
			ErrConfig, c.RekeyFrames, c.RekeyAfter, uint64(MaxRekeyFrames), MaxRekeyAfter)
	}
	c.Secret, c.Suites = nil, suites
	if c.RekeyFrames == 0 {
		c.RekeyFrames = MaxRekeyFrames
	}
	if c.RekeyAfter == 0 {
		c.RekeyAfter = MaxRekeyAfter
	}
	if c.random == nil {
		c.random = rand.Reader
	}
	if c.clock == nil {
		c.clock = monotonic
	}
	return c, nil
}

var processStart = time.Now()

// monotonic is cheaper than time.Now: it asks one clock only.
func monotonic() time.Duration { return time.Since(processStart) }
