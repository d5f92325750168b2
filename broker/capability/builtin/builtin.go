// Package builtin registers the capabilities that come with PyIsolate.
package builtin

import (
	"fmt"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/clock"
	"github.com/pyisolate/pyisolate/broker/capability/fetch"
	"github.com/pyisolate/pyisolate/broker/capability/files"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/random"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
	"github.com/pyisolate/pyisolate/broker/capability/send"
	"github.com/pyisolate/pyisolate/broker/capability/subprocess"
)

// Config says what the capabilities work with. The zero value is usable.
type Config struct {
	Fetch fetch.Config
	// Secrets is where secrets are; nil has none.
	Secrets secrets.Provider
	// KV is the store, which the broker then closes; nil leaves kv out, and grants
	// of it are refused.
	KV *kv.Store
	// Sender delivers messages; nil answers each that there is nobody to.
	Sender send.Sender
}

// Register registers them all with b. A program that grants subprocess.run calls
// jail.Init first in main.
func Register(b *capability.Broker, c Config) error {
	known := map[string]capability.Capability{
		files.ReadName: files.Read(), files.ListName: files.List(), files.WriteName: files.Write(),
		fetch.Name: fetch.New(c.Fetch), secrets.Name: secrets.New(c.Secrets),
		clock.Name: clock.New(), random.Name: random.New(),
		send.Name: send.New(c.Sender), subprocess.Name: subprocess.New(),
	}
	if c.KV != nil {
		known[kv.Name] = c.KV
	}
	for name, what := range known {
		if err := b.Register(name, what); err != nil {
			return fmt.Errorf("register capability %s: %w", name, err)
		}
	}
	return nil
}
