package conformance

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// secrets makes both ends' copies of one secret.
func secrets() (node, host *seal.Secret, err error) {
	raw := make([]byte, seal.SecretSize)
	if _, err = rand.Read(raw); err != nil {
		return nil, nil, err
	}
	if node, err = seal.NewSecret(bytes.Clone(raw)); err != nil {
		return nil, nil, err
	}
	host, err = seal.NewSecret(raw)
	return node, host, err
}

func shake(nodeConfig, hostConfig seal.Config) (node, host *seal.Session, err error) {
	in, hello, err := seal.NewInitiator(nodeConfig)
	if err != nil {
		return nil, nil, err
	}
	defer in.Destroy()
	out, err := seal.NewResponder(hostConfig)
	if err != nil {
		return nil, nil, err
	}
	defer out.Destroy()
	answer, err := out.Answer(hello)
	if err != nil {
		return nil, nil, err
	}
	confirm, node, err := in.Finish(answer)
	if err != nil {
		return nil, nil, err
	}
	host, err = out.Finish(confirm)
	return node, host, err
}

func session() (node, host *seal.Session, err error) {
	a, b, err := secrets()
	if err != nil {
		return nil, nil, err
	}
	return shake(seal.Config{Secret: a}, seal.Config{Secret: b})
}

const message = "what node and host say to each other"

// tryTampered changes one bit of each byte of a frame, each in a session of its own.
func tryTampered(context.Context, *scene) (string, error) {
	size := seal.Overhead + len(message)
	for at := range size {
		node, host, err := session()
		if err != nil {
			return "", err
		}
		frames, err := sealTwice(node)
		if err != nil {
			return "", err
		}
		frames[0][at] ^= 1
		if _, err := host.In.Open(frames[0]); !errors.Is(err, seal.ErrEnded) {
			return "", fmt.Errorf("a change of byte %d of %d: %w", at, size, orAccepted(err))
		}
		if _, err := host.In.Open(frames[1]); !errors.Is(err, seal.ErrEnded) {
			return "", fmt.Errorf("the frame after a changed one: %w", orAccepted(err))
		}
		node.Destroy()
		host.Destroy()
	}
	return fmt.Sprintf("a bit was changed in each of the %d bytes of a frame: %v, and the next frame refused, too", size, seal.ErrEnded), nil
}

func sealTwice(s *seal.Session) (frames [2][]byte, err error) {
	for i := range frames {
		if frames[i], err = s.Out.Seal(nil, []byte(message)); err != nil {
			return frames, err
		}
	}
	return frames, nil
}

var errAccepted = errors.New("it was accepted")

func orAccepted(err error) error {
	if err == nil {
		return errAccepted
	}
	return err
}

func tryReplayed(context.Context, *scene) (string, error) {
	node, host, err := session()
	if err != nil {
		return "", err
	}
	frames, err := sealTwice(node)
	if err != nil {
		return "", err
	}
	again := slices.Clone(frames[0])
	if text, err := host.In.Open(frames[0]); err != nil || string(text) != message {
		return "", fmt.Errorf("a good frame: %q, %w", text, err)
	}
	if _, err := host.In.Open(again); !errors.Is(err, seal.ErrEnded) {
		return "", orAccepted(err)
	}
	return "the frame was accepted once", nil
}

func tryStranger(context.Context, *scene) (string, error) {
	a, _, err := secrets()
	if err != nil {
		return "", err
	}
	_, b, err := secrets()
	if err != nil {
		return "", err
	}
	return handshakeRefused(shake(seal.Config{Secret: a}, seal.Config{Secret: b}))
}

func handshakeRefused(_, _ *seal.Session, err error) (string, error) {
	if !errors.Is(err, seal.ErrHandshake) {
		return "", orAccepted(err)
	}
	return err.Error(), nil
}

// tryDowngrade offers the classical exchange alone: to a host that wants the hybrid one,
// and, as somebody in between, to a host that takes both.
func tryDowngrade(context.Context, *scene) (string, error) {
	weak := []seal.Suite{seal.X25519}
	a, b, err := secrets()
	if err != nil {
		return "", err
	}
	byPolicy, err := handshakeRefused(shake(seal.Config{Secret: a, Suites: weak}, seal.Config{Secret: b}))
	if err != nil {
		return "", fmt.Errorf("the offer of a weaker exchange: %w", err)
	}
	stranger, _, err := secrets()
	if err != nil {
		return "", err
	}
	if _, b, err = secrets(); err != nil {
		return "", err
	}
	between, err := handshakeRefused(shake(seal.Config{Secret: stranger, Suites: weak},
		seal.Config{Secret: b, Suites: []seal.Suite{seal.XWing, seal.X25519}}))
	if err != nil {
		return "", fmt.Errorf("an offer that was made weaker on its way: %w", err)
	}
	return byPolicy + "; an offer made weaker on its way: " + between, nil
}
