package seal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/pyisolate/pyisolate/broker/seal"
)

// pair returns the two ends of the recorded session, the same at every call.
func (r *recorded) pair(t testing.TB) (node, host *seal.Session) {
	t.Helper()
	return sessionsOf(t, r.node(t), r.host(t))
}

// sealed returns the session's first n frames from the node; frame i carries i
// bytes. RekeyFrames is 2, so the epoch rises with every second.
func (r *recorded) sealed(t testing.TB, n int) (frames [][]byte) {
	t.Helper()
	node, _ := r.pair(t)
	for i := range n {
		frames = append(frames, must(node.Out.Seal(nil, count(1, i)))(t))
	}
	return frames
}

func TestFramesOfAllSizes(t *testing.T) {
	node, host := sessions(t)
	for _, n := range []int{0, 1, 15, 16, 17, 63, 64, 65, 1 << 10, 64 << 10, seal.MaxPlaintext} {
		plaintext := bytes.Repeat([]byte{byte(n), 0xa5}, n)[:n]
		frame := must(node.Out.Seal(nil, plaintext))(t)
		if len(frame) != n+seal.Overhead {
			t.Errorf("%d bytes make a frame of %d", n, len(frame))
		}
		if n >= 16 && bytes.Contains(frame, plaintext[:16]) {
			t.Errorf("the frame of %d bytes shows its plaintext", n)
		}
		if got := must(host.In.FrameLength(frame[:seal.LengthSize]))(t); got != len(frame) {
			t.Errorf("FrameLength is %d for a frame of %d", got, len(frame))
		}
		same(t, "plaintext", must(host.In.Open(frame))(t), plaintext)
	}
}

// In place, with and without room for the tag, gives the same bytes as a copy.
func TestSealInPlace(t *testing.T) {
	r := record(t, seal.X25519)
	plaintext := count(7, 100)
	for name, c := range map[string]int{
		"ample": 4096, "exact": 5 + seal.Overhead + 100, "no tag": 5 + seal.HeaderSize + 100,
	} {
		t.Run(name, func(t *testing.T) {
			apart, _ := r.pair(t)
			want := must(apart.Out.Seal([]byte("front"), plaintext))(t)

			node, _ := r.pair(t)
			buf := seal.Reserve(append(make([]byte, 0, c), "front"...))
			buf = append(buf, plaintext...)
			got := must(node.Out.Seal(buf[:5], buf[5+seal.HeaderSize:]))(t)
			same(t, "frame", got, want)
		})
	}
}

func TestSealRefusesWithoutHarm(t *testing.T) {
	node, host := sessions(t)
	buf := make([]byte, 10, 4096)
	free := buf[:cap(buf)]
	for name, plaintext := range map[string][]byte{
		"at the header":           free[10:20],
		"one before its place":    free[10+seal.HeaderSize-1:][:50],
		"one behind its place":    free[10+seal.HeaderSize+1:][:50],
		"reaching into the frame": free[5:15],
		"at the end":              free[len(free)-1:],
	} {
		got, err := node.Out.Seal(buf, plaintext)
		if !errors.Is(err, seal.ErrOverlap) || len(got) != len(buf) {
			t.Errorf("%s: %v, %d bytes", name, err, len(got))
		}
	}
	_, err := node.Out.Seal(nil, make([]byte, seal.MaxPlaintext+1))
	wantKind(t, err, seal.ErrTooLarge)
	passes(t, node, host)
}

func TestFrameLengthBounds(t *testing.T) {
	for name, c := range map[string]struct {
		header []byte
		want   int // 0: refused
	}{
		"nothing":        {nil, 0},
		"three bytes":    {[]byte{24, 0, 0}, 0},
		"zero":           {length(0), 0},
		"below a tag":    {length(23), 0},
		"smallest":       {length(24), seal.Overhead},
		"largest":        {length(seal.MaxFrame - 4), seal.MaxFrame},
		"beyond":         {length(seal.MaxFrame - 3), 0},
		"sign bit":       {length(1 << 31), 0},
		"all bits":       {length(1<<32 - 1), 0},
		"more than that": {append(length(24), 1, 2, 3, 4, 5, 6, 7, 8), seal.Overhead},
	} {
		t.Run(name, func(t *testing.T) {
			_, host := sessions(t, seal.X25519)
			n, err := host.In.FrameLength(c.header)
			if c.want != 0 && (err != nil || n != c.want) {
				t.Errorf("got %d %v, want %d", n, err, c.want)
			}
			if c.want == 0 {
				isOver(t, host, err)
			}
		})
	}
}

func length(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }

// isOver checks that err ended the session, for good and in both directions.
func isOver(t testing.TB, s *seal.Session, err error) {
	t.Helper()
	wantKind(t, err, seal.ErrEnded)
	for range 2 {
		if _, again := s.In.Open(make([]byte, seal.Overhead)); !errors.Is(again, err) {
			t.Fatalf("Open gives %v after %v", again, err)
		}
	}
	_, err = s.In.FrameLength(length(24))
	wantKind(t, err, seal.ErrEnded)
	frame, err := s.Out.Seal(nil, []byte("x"))
	wantKind(t, err, seal.ErrEnded)
	if len(frame) != 0 {
		t.Fatalf("sealed %x in a session that ended", frame)
	}
	for name, k := range map[string]interface {
		Keys() (cipherAEAD, []byte, []byte, uint64)
	}{"out": s.Out, "in": s.In} {
		keysAreGone(t, name, k)
	}
}

func TestDamagedFrames(t *testing.T) {
	r := record(t, seal.X25519)
	frames := r.sealed(t, 3) // the third is the first of an epoch
	for at := range frames {
		for what, frame := range damaged(frames[at], 1) {
			_, host := r.pair(t)
			for _, before := range frames[:at] {
				must(host.In.Open(slices.Clone(before)))(t)
			}
			plaintext, err := host.In.Open(frame)
			if err == nil {
				t.Fatalf("frame %d, %s: opened as %x", at, what, plaintext)
			}
			isOver(t, host, err)
		}
	}
}

// Genuine frames, and splices of them, where they do not belong.
func TestFramesOutOfPlace(t *testing.T) {
	r := record(t, seal.X25519)
	f := r.sealed(t, 6) // epochs 0 0 1 1 2 2
	other, _ := sessionsOf(t, config(t, seal.X25519), config(t, seal.X25519))
	alien := must(other.Out.Seal(nil, nil))(t)
	splice := func(header, body []byte) []byte {
		return slices.Concat(header[:seal.HeaderSize], body[seal.HeaderSize:])
	}
	withCounter := func(frame []byte, counter uint64) []byte {
		frame = slices.Clone(frame)
		binary.LittleEndian.PutUint64(frame[seal.LengthSize:], counter)
		return frame
	}
	for name, c := range map[string]struct{ before, then [][]byte }{
		"replayed at once":              {f[:1], f[:1]},
		"replayed later":                {f[:2], f[:1]},
		"replayed in the next epoch":    {f[:3], f[:1]},
		"first of an epoch replayed":    {f[:3], f[2:3]},
		"one left out":                  {f[:0], f[1:2]},
		"last of an epoch left out":     {f[:1], f[2:3]},
		"first of an epoch left out":    {f[:2], f[3:4]},
		"all of an epoch left out":      {f[:0], f[2:3]},
		"two left out across epochs":    {f[:1], f[3:4]},
		"an epoch left out":             {f[:2], f[4:5]},
		"an epoch early":                {f[:0], f[4:5]},
		"of another session":            {f[:0], [][]byte{alien}},
		"of another session, later":     {f[:1], [][]byte{withCounter(alien, 1)}},
		"next counter on an old frame":  {f[:1], [][]byte{withCounter(f[0], 1)}},
		"next epoch on an old frame":    {f[:2], [][]byte{withCounter(f[0], 1<<32)}},
		"old counter on the next frame": {f[:1], [][]byte{withCounter(f[1], 0)}},
		"header of one, body of other":  {f[:1], [][]byte{splice(f[1], f[0])}},
		"halves of two epochs":          {f[:2], [][]byte{splice(f[2], f[0])}},
		"two frames as one":             {f[:0], [][]byte{slices.Concat(f[0], f[1])}},
		"empty":                         {f[:0], [][]byte{nil}},
	} {
		t.Run(name, func(t *testing.T) {
			_, host := r.pair(t)
			for _, frame := range c.before {
				must(host.In.Open(slices.Clone(frame)))(t)
			}
			plaintext, err := host.In.Open(slices.Clone(c.then[0]))
			if err == nil {
				t.Fatalf("opened as %x", plaintext)
			}
			isOver(t, host, err)
		})
	}
}

// A side's own frames, sent back to it.
func TestReflectedFrames(t *testing.T) {
	for name, reflect := range map[string]func(node, host *seal.Session) *seal.Session{
		"to the node": func(node, _ *seal.Session) *seal.Session { return node },
		"to the host": func(_, host *seal.Session) *seal.Session { return host },
	} {
		t.Run(name, func(t *testing.T) {
			s := reflect(sessions(t, seal.X25519))
			_, err := s.In.Open(must(s.Out.Seal(nil, []byte("mine")))(t))
			isOver(t, s, err)
		})
	}
}

// Whatever a transport does to a sequence of frames, the opener returns a prefix
// of what was sent, and nothing after the first change.
func TestPropertyOpenerReturnsAPrefix(t *testing.T) {
	r := record(t, seal.X25519)
	frames := r.sealed(t, 12)
	rapid.Check(t, func(rt *rapid.T) {
		wire, intact := meddle(rt, frames)
		_, host := r.pair(t)
		for i, frame := range wire {
			plaintext, err := host.In.Open(frame)
			if i < intact && (err != nil || len(plaintext) != i) {
				rt.Fatalf("frame %d of %d intact ones: %d bytes, %v", i, intact, len(plaintext), err)
			}
			if i >= intact && !errors.Is(err, seal.ErrEnded) {
				rt.Fatalf("frame %d after %d intact ones: %d bytes, %v", i, intact, len(plaintext), err)
			}
		}
	})
}

// meddle returns frames after a few changes, and how many at the front are as
// they were.
func meddle(rt *rapid.T, frames [][]byte) (wire [][]byte, intact int) {
	for _, f := range frames {
		wire = append(wire, slices.Clone(f))
	}
	for range rapid.IntRange(0, 3).Draw(rt, "changes") {
		if len(wire) == 0 {
			break
		}
		i := rapid.IntRange(0, len(wire)-1).Draw(rt, "at")
		j := rapid.IntRange(0, len(wire)-1).Draw(rt, "other")
		changes := []string{"swap", "drop", "repeat", "flip", "cut", "grow", "splice"}
		switch rapid.SampledFrom(changes).Draw(rt, "change") {
		case "swap":
			wire[i], wire[j] = wire[j], wire[i]
		case "drop":
			wire = slices.Delete(wire, i, i+1)
		case "repeat":
			wire = slices.Insert(wire, j, slices.Clone(wire[i]))
		case "flip":
			bit := rapid.IntRange(0, len(wire[i])*8).Draw(rt, "bit")
			if bit < len(wire[i])*8 {
				wire[i][bit/8] ^= 1 << (bit % 8)
			}
		case "cut":
			wire[i] = wire[i][:rapid.IntRange(0, len(wire[i])).Draw(rt, "length")]
		case "grow":
			wire[i] = append(wire[i], rapid.Byte().Draw(rt, "byte"))
		case "splice":
			n := min(len(wire[i]), len(wire[j]))
			copy(wire[i][:rapid.IntRange(0, n).Draw(rt, "bytes")], wire[j])
		}
	}
	for intact < len(wire) && intact < len(frames) && bytes.Equal(wire[intact], frames[intact]) {
		intact++
	}
	return wire, intact
}

// The two directions of both sides, each on a goroutine of its own, over epochs.
func TestDirectionsAreIndependent(t *testing.T) {
	const frames = 2000
	cfg := func() seal.Config {
		c := config(t, seal.X25519)
		c.RekeyFrames = 300
		return c
	}
	node, host := sessionsOf(t, cfg(), cfg())
	var wg sync.WaitGroup
	flow := func(from *seal.Sealer, to *seal.Opener) {
		wire := make(chan []byte, 8)
		wg.Go(func() {
			defer close(wire)
			for i := range frames {
				frame, err := from.Seal(nil, fmt.Append(nil, i))
				if err != nil {
					t.Error(err)
					return
				}
				wire <- frame
			}
		})
		wg.Go(func() {
			got := 0
			for frame := range wire {
				plaintext, err := to.Open(frame)
				if err != nil || string(plaintext) != fmt.Sprint(got) {
					t.Errorf("frame %d: %q %v", got, plaintext, err)
				}
				got++
			}
			if got != frames {
				t.Errorf("%d of %d frames came", got, frames)
			}
		})
	}
	flow(node.Out, host.In)
	flow(host.Out, node.In)
	wg.Wait()
}

func TestNoAllocations(t *testing.T) {
	node, host := sessions(t)
	buf := make([]byte, 0, 4096)
	batch := make([]byte, 2000)
	for name, send := range map[string]func() ([]byte, error){
		"from elsewhere": func() ([]byte, error) { return node.Out.Seal(buf, batch) },
		"in place": func() ([]byte, error) {
			buf := append(seal.Reserve(buf), batch...)
			return node.Out.Seal(buf[:0], buf[seal.HeaderSize:])
		},
	} {
		allocs := testing.AllocsPerRun(200, func() {
			frame, err := send()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := host.In.FrameLength(frame); err != nil {
				t.Fatal(err)
			}
			if _, err := host.In.Open(frame); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations a frame", name, allocs)
		}
	}
}
