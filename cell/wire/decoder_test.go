package wire_test

import (
	"runtime"
	"testing"

	"github.com/pyisolate/pyisolate/cell/wire"
)

// A message in many pieces is collected in memory of its size, not in memory that is doubled until it fits.
func TestMessagesAreCollectedOnce(t *testing.T) {
	const size = 100_000
	data, err := wire.Append(nil, post(1, make([]byte, size)))
	if err != nil {
		t.Fatal(err)
	}
	const times = 50
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		if _, err := wire.DecodeAll(data, 16<<10); err != nil {
			t.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	// DecodeAll copies the pieces, which is once; their front is copied twice.
	if each := (after.TotalAlloc - before.TotalAlloc) / times; each > 5*size/2 {
		t.Errorf("a message of %d bytes took %d", size, each)
	}
}
