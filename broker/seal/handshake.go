package seal

import (
	"fmt"
	"io"
)

// handshake is what both roles have.
type handshake struct {
	cfg  Config
	keys schedule
	said transcript
	over bool
}

// start checks the configuration and consumes the secret.
func (h *handshake) start(cfg Config) error {
	defer cfg.Secret.Destroy()
	prepared, err := cfg.prepared()
	if err != nil {
		return err
	}
	h.cfg, h.said = prepared, newTranscript()
	return h.keys.begin(cfg.Secret)
}

func (h *handshake) random() ([]byte, error) {
	b := make([]byte, randomSize)
	if _, err := io.ReadFull(h.cfg.random, b); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	return b, nil
}

func refused(err error) error { return fmt.Errorf("%w: %w", ErrHandshake, err) }

var errOver = fmt.Errorf("%w: it is over; begin another with a new launch secret", ErrHandshake)
