package seal_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/broker/seal"
)

func counterOf(frame []byte) uint64 { return binary.LittleEndian.Uint64(frame[seal.LengthSize:]) }

func TestRekeyByFrames(t *testing.T) {
	for _, every := range []uint64{1, 2, 3, 10} {
		t.Run(fmt.Sprint(every), func(t *testing.T) {
			cfg := config(t, seal.X25519)
			cfg.RekeyFrames = every
			node, host := sessionsOf(t, cfg, config(t, seal.X25519))
			for i := range uint64(35) {
				frame := must(node.Out.Seal(nil, nil))(t)
				if want := i/every<<32 | i%every; counterOf(frame) != want {
					t.Fatalf("frame %d has the counter %#x, want %#x", i, counterOf(frame), want)
				}
				must(host.In.Open(frame))(t)
				if back := must(host.Out.Seal(nil, nil))(t); counterOf(back) != i {
					t.Fatalf("the other direction is at %#x after %d frames", counterOf(back), i)
				}
			}
		})
	}
}

func TestRekeyByTime(t *testing.T) {
	now := 17 * time.Hour
	cfg := config(t, seal.X25519).WithClock(func() time.Duration { return now })
	cfg.RekeyAfter = time.Minute
	node, host := sessionsOf(t, cfg, config(t, seal.X25519))
	for i, step := range []struct {
		pass time.Duration
		want uint64
	}{
		{0, 0}, {time.Minute - 1, 1}, {1, 1 << 32}, {time.Minute - 1, 1<<32 + 1}, {1, 2 << 32},
		{time.Hour, 3 << 32}, // one epoch, however long the silence
		{0, 3<<32 + 1},
	} {
		now += step.pass
		frame := must(node.Out.Seal(nil, nil))(t)
		if counterOf(frame) != step.want {
			t.Fatalf("step %d: counter %#x, want %#x", i, counterOf(frame), step.want)
		}
		must(host.In.Open(frame))(t)
	}
}

// An epoch may end before its first frame.
func TestRekeyAfterSilence(t *testing.T) {
	now := time.Duration(0)
	node, host := sessionsOf(t, config(t).WithClock(func() time.Duration { return now }), config(t))
	now = seal.MaxRekeyAfter
	frame := must(node.Out.Seal(nil, nil))(t)
	if counterOf(frame) != 1<<32 {
		t.Errorf("counter %#x after an hour of silence", counterOf(frame))
	}
	must(host.In.Open(frame))(t)
}

// The frame after number 2^32-1 has the counter that follows, and is the first
// of a new epoch under a new key.
func TestRekeyAtTheCounterHalf(t *testing.T) {
	node, host := sessions(t)
	seal.SetCount(node.Out, host.In, math.MaxUint32)
	before, _, _, _ := node.Out.Keys()
	for _, want := range []uint64{math.MaxUint32, 1 << 32, 1<<32 + 1} {
		frame := must(node.Out.Seal(nil, nil))(t)
		if counterOf(frame) != want {
			t.Fatalf("counter %#x, want %#x", counterOf(frame), want)
		}
		must(host.In.Open(frame))(t)
	}
	if after, _, _, _ := node.Out.Keys(); after == before {
		t.Error("the key did not change")
	}
}

// After the last epoch there is nothing, and above all no counter from the start.
func TestEpochsAreUsedUp(t *testing.T) {
	t.Run("sender", func(t *testing.T) {
		node, host := sessions(t)
		seal.SetEpoch(node.Out, host.In, math.MaxUint32)
		seal.SetCount(node.Out, host.In, math.MaxUint32)
		frame := must(node.Out.Seal(nil, nil))(t)
		if counterOf(frame) != math.MaxUint64 {
			t.Fatalf("counter %#x", counterOf(frame))
		}
		must(host.In.Open(frame))(t)
		_, err := node.Out.Seal(nil, nil)
		wantKind(t, err, seal.ErrEnded)
		_, again := node.Out.Seal(nil, nil)
		wantKind(t, again, seal.ErrEnded)
	})
	t.Run("receiver", func(t *testing.T) {
		node, host := sessions(t)
		frame := must(node.Out.Seal(nil, nil))(t) // counter 0, which 2^64 would be
		seal.SetEpoch(node.Out, host.In, math.MaxUint32)
		seal.SetCount(node.Out, host.In, 1<<32)
		_, err := host.In.Open(frame)
		isOver(t, host, err)
	})
}

// A sender that has the keys but does not keep to the counters is refused.
func TestEpochsMustFollow(t *testing.T) {
	r := record(t, seal.X25519)
	ref := must(newReference(2, r.LaunchSecret, r.NodeKeySeed, r.Hello, r.Answer))(t)
	for name, c := range map[string]struct {
		counters []uint64
		refused  bool
	}{
		"next frame":                   {[]uint64{0, 1, 2}, false},
		"next epoch, early":            {[]uint64{0, 1 << 32, 1<<32 + 1}, false},
		"epochs of no frame but one":   {[]uint64{1 << 32, 2 << 32, 3 << 32}, false},
		"two epochs on":                {[]uint64{0, 2 << 32}, true},
		"next epoch, not at its start": {[]uint64{0, 1<<32 + 1}, true},
		"back an epoch":                {[]uint64{1 << 32, 1}, true},
		"back to an epoch's start":     {[]uint64{1 << 32, 0}, true},
		"gap":                          {[]uint64{0, 2}, true},
		"repeat":                       {[]uint64{0, 1, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, host := r.pair(t)
			for i, counter := range c.counters {
				keys := refEpochs(ref.nodeToHost, framesPerEpoch(c.counters[:i], counter>>32)...)
				frame := must(refFrame(keys[counter>>32], ref.id, counter, nil))(t)
				_, err := host.In.Open(frame)
				if last := i == len(c.counters)-1; last && c.refused {
					isOver(t, host, err)
				} else if err != nil {
					t.Fatalf("counter %#x: %v", counter, err)
				}
			}
		})
	}
}

// A counter two epochs on is refused under the next epoch's keys, too.
func TestEpochsDoNotSkipNumbers(t *testing.T) {
	r := record(t, seal.X25519)
	ref := must(newReference(2, r.LaunchSecret, r.NodeKeySeed, r.Hello, r.Answer))(t)
	_, host := r.pair(t)
	_, err := host.In.Open(must(refFrame(refEpochs(ref.nodeToHost, 0)[1], ref.id, 2<<32, nil))(t))
	isOver(t, host, err)
}

// framesPerEpoch returns how many of the frames are of each epoch below n.
func framesPerEpoch(counters []uint64, n uint64) []uint64 {
	frames := make([]uint64, n)
	for _, counter := range counters {
		if epoch := counter >> 32; epoch < n {
			frames[epoch]++
		}
	}
	return frames
}

// Every other field of a frame is bound, too: a frame under the right key and
// counter but with another session id is refused.
func TestFrameIsBoundToItsSession(t *testing.T) {
	r := record(t, seal.X25519)
	ref := must(newReference(2, r.LaunchSecret, r.NodeKeySeed, r.Hello, r.Answer))(t)
	id := slices.Clone(ref.id)
	id[0] ^= 1
	_, host := r.pair(t)
	_, err := host.In.Open(must(refFrame(refEpochs(ref.nodeToHost)[0], id, 0, nil))(t))
	isOver(t, host, err)
}
