package random_test

import (
	"bytes"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/captest"
	"github.com/pyisolate/pyisolate/broker/capability/random"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRandom(t *testing.T) {
	s := captest.Open(t, map[string]capability.Capability{random.Name: random.New()}, "random")
	var last []byte
	for _, n := range []int{16, 16, 1, random.MaxBytes} {
		v, err := s.Ask("random", "bytes", fmt.Sprintf(`{"n":%d}`, n))
		if err != nil || v.Type != capability.Bytes || len(v.Data) != n || bytes.Equal(v.Data, last) || n > 1 && bytes.Equal(v.Data, make([]byte, n)) {
			t.Errorf("%d: %v %v", n, v, err)
		}
		last = v.Data
	}
	for _, args := range []string{"", `{"n":0}`, `{"n":-1}`, `{"n":65537}`, `{"n":1.5}`, `{"n":1e30}`} {
		_, err := s.Ask("random", "bytes", args)
		captest.Want(t, err, capability.Invalid)
	}
}
