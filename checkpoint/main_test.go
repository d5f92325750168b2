package checkpoint

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(writerEnv); dir != "" {
		fmt.Fprintln(os.Stderr, writeForEver(dir))
		os.Exit(1)
	}
	if dir := os.Getenv(receiverEnv); dir != "" {
		fmt.Fprintln(os.Stderr, receiveHalf(dir))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// What a process of the tests is to do, in a directory.
const (
	writerEnv   = "CHECKPOINT_TEST_WRITER"
	receiverEnv = "CHECKPOINT_TEST_RECEIVER"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func header() Header {
	return Header{Tenant: "shop", Cell: "worker", Epoch: 7, Python: "cpython-314", Policy: "shop/web", Version: 3, Backend: "process",
		Created: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
}

func newRing(t testing.TB) *Ring {
	t.Helper()
	r, err := OpenRing(filepath.Join(t.TempDir(), "ring.json"), nil)
	must(t, err)
	return r
}

// state is n bytes that compress somewhat, the same each time.
func state(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	words := make([][]byte, 64)
	for i := range words {
		words[i] = make([]byte, 3+r.IntN(9))
		for j := range words[i] {
			words[i][j] = byte(r.Uint32())
		}
	}
	out := make([]byte, 0, n+16)
	for len(out) < n {
		out = append(out, words[r.IntN(len(words))]...)
	}
	return out[:n]
}

func sealed(t testing.TB, h Header, k Keys, state []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, h, k)
	must(t, err)
	for at := 0; at < len(state); at += 7000 { // in pieces that are no chunks
		_, err := w.Write(state[at:min(at+7000, len(state))])
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

func opened(b []byte, k Keys, e Expect) ([]byte, error) {
	r, err := NewReader(bytes.NewReader(b), k, e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
