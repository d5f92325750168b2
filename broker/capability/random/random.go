// Package random is the capability random: bytes from the kernel's generator.
package random

import (
	"context"
	"crypto/rand"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability; MaxBytes is the most that one request gets.
const (
	Name     = "random"
	MaxBytes = 64 << 10
)

// New returns the capability, with the one action bytes.
func New() capability.Capability {
	return capability.Func(func(_ context.Context, c *capability.Call) (capability.Value, error) {
		if c.Action != "bytes" {
			return capability.Value{}, c.UnknownAction("bytes")
		}
		var a struct {
			N int `json:"n"`
		}
		if _, err := c.Arguments(&a); err != nil {
			return capability.Value{}, err
		}
		if most := min(MaxBytes, c.MaxAnswer); a.N < 1 || a.N > most {
			return capability.Value{}, capability.Errorf(capability.Invalid, "n is %d; it must be between 1 and %d", a.N, most)
		}
		b := make([]byte, a.N)
		_, _ = rand.Read(b) // never fails; it ends the process instead
		return capability.BytesValue(b), nil
	})
}
