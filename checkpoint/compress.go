package checkpoint

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// Compression of the state.
const (
	Zstd = "zstd"
	// S2 takes a third of zstd's time, and of a state that repeats itself up to three times the room: for
	// a state that a cell waits for.
	S2   = "s2"
	None = "none"
)

const (
	// window is how far back zstd looks, and what a Reader needs for that, in bytes.
	window = 1 << 20
	// block is the most that s2 takes at once, and what a Reader needs for that, in bytes.
	block = 256 << 10
	// written is what ours takes at once: the end of a state, which a restore that reads while it comes waits for
	// until it may end, is shorter by the rest.
	written = 64 << 10
)

// compressor returns what writes to a sealer, whose Close does not seal the end.
func compressor(to io.Writer, compression string) (io.WriteCloser, error) {
	switch compression {
	case Zstd:
		return zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window))
	case S2:
		return s2.NewWriter(to, s2.WriterConcurrency(1), s2.WriterBlockSize(written)), nil
	}
	return plain{to}, nil
}

// plain is a state as it is.
type plain struct{ io.Writer }

// Close implements io.Closer.
func (plain) Close() error { return nil }

// decompressor reads what a compressor wrote, in bounded memory; its caller wants no more than most bytes. done
// gives the memory back.
func decompressor(from io.Reader, compression string, most int64) (r io.Reader, done func(), err error) {
	switch compression {
	case Zstd:
		z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(window), zstd.WithDecoderMaxMemory(uint64(most)+window))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	case S2:
		return s2.NewReader(from, s2.ReaderMaxBlockSize(block), s2.ReaderAllocBlock(block)), func() {}, nil
	}
	return from, func() {}, nil
}

// unpacked is an error of a decompressor, of what was sealed like this.
func unpacked(err error) error {
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return fmt.Errorf("%w: %w", ErrDamaged, err)
}
