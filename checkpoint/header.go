package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Why a checkpoint is not opened.
var (
	// ErrFormat: it is none, or of a version that this one does not know.
	ErrFormat = errors.New("not a checkpoint that can be read here")
	// ErrKey: there is no key for it.
	ErrKey = errors.New("no key for the checkpoint")
	// ErrDamaged: what was sealed is not what is there, or the key is another's.
	ErrDamaged = errors.New("the checkpoint is damaged, or not what its header says")
	// ErrTruncated: its end is missing.
	ErrTruncated = errors.New("the checkpoint's end is missing")
	// ErrTooLarge: it has more in it than is permitted.
	ErrTooLarge = errors.New("the checkpoint is too large")
	// ErrMismatch: it is of another cell or epoch than was asked for.
	ErrMismatch = errors.New("the checkpoint is another's")
)

const (
	magic     = "PYISOCK2"
	maxHeader = 8 << 10
	// minChunk and maxChunk bound the plaintext of a chunk, in bytes.
	minChunk     = 1 << 10
	maxChunk     = 4 << 20
	defaultChunk = 256 << 10
)

const (
	// MaxTerms bounds what a checkpoint says of how its cell was spawned, in bytes.
	MaxTerms = 2 << 20
	// MaxState bounds a state, without the terms, in bytes: a gigabyte of a guest's, and what says which objects that
	// is. A larger one is not sealed, for no Reader opens it.
	MaxState = 1<<30 + 16<<20
	// MaxFile is more than the file of any checkpoint has, in bytes, even where nothing of it can be compressed.
	MaxFile = MaxState + MaxState/32
)

// maxState is MaxState, but in tests.
var maxState int64 = MaxState

// Header is what everybody may read, and nobody change.
type Header struct {
	// Tenant, Cell and Epoch of the incarnation whose state it is.
	Tenant string `json:"tenant"`
	Cell   string `json:"cell"`
	Epoch  uint64 `json:"epoch"`
	// Python is the ABI that the state needs, as "cpython-314".
	Python string `json:"python"`
	// Policy and Version that the cell was under; it is restored under what is in force then.
	Policy  string `json:"policy,omitempty"`
	Version uint64 `json:"version,omitempty"`
	// Backend that it ran on. A weaker one may not restore it.
	Backend string `json:"backend,omitempty"`
	// Created is the clock of the node that made it, or later: an Archive has none of a cell's older than
	// those that it had before.
	Created time.Time `json:"created"`
	// Terms is how many of the sealed bytes, from the first on, say how the cell was spawned; the
	// state comes behind them.
	Terms int `json:"terms,omitempty"`
	// Compression is Zstd, the default, S2 or None; Chunk the plaintext of a chunk in bytes,
	// default 256 KiB.
	Compression string `json:"compression"`
	Chunk       int    `json:"chunk"`
	// Key says how the key is found. The Writer fills it in.
	Key KeyInfo `json:"key"`
}

// KeyInfo says how the key of a checkpoint is found.
type KeyInfo struct {
	// ID of the tenant's key, or of an export, of the recipient's.
	ID   string `json:"id"`
	Salt []byte `json:"salt"` // 32 bytes
	// Sealed is the secret of an export, for the recipient.
	Sealed []byte `json:"sealed,omitempty"`
}

func (h Header) withDefaults() Header {
	if h.Compression == "" {
		h.Compression = Zstd
	}
	if h.Chunk == 0 {
		h.Chunk = defaultChunk
	}
	return h
}

func (h Header) valid() error {
	switch {
	case h.Tenant == "" || len(h.Tenant) > 64 || h.Cell == "" || len(h.Cell) > 64 || h.Epoch == 0:
		return fmt.Errorf("%w: it names no cell: %.64q of %.64q in epoch %d", ErrFormat, h.Cell, h.Tenant, h.Epoch)
	case h.Python == "" || len(h.Python) > 64:
		return fmt.Errorf("%w: it names no Python", ErrFormat)
	case h.Compression != Zstd && h.Compression != S2 && h.Compression != None:
		return fmt.Errorf("%w: compression %.32q is not known; run a newer version", ErrFormat, h.Compression)
	case len(h.Key.Salt) != saltSize || h.Key.ID == "":
		return fmt.Errorf("%w: it names no key", ErrFormat)
	}
	return h.validSizes()
}

func (h Header) validSizes() error {
	switch {
	case h.Chunk < minChunk || h.Chunk > maxChunk:
		return fmt.Errorf("%w: chunks of %d bytes; %d to %d are possible", ErrFormat, h.Chunk, minChunk, maxChunk)
	case h.Terms < 0 || h.Terms > MaxTerms:
		return fmt.Errorf("%w: %d bytes say how the cell was spawned; %d is the most", ErrFormat, h.Terms, MaxTerms)
	}
	return nil
}

// encode returns all that stands before the first chunk.
func (h Header) encode() ([]byte, error) {
	if err := h.valid(); err != nil {
		return nil, err
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	if len(text) > maxHeader {
		return nil, fmt.Errorf("%w: the header has %d bytes; %d is the most", ErrFormat, len(text), maxHeader)
	}
	out := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
	return append(out, text...), nil
}

// ReadHeader reads what stands before the first chunk. Whether it is true is not known before a
// [Reader] has given the first byte.
func ReadHeader(from io.Reader) (Header, error) {
	h, _, err := readHeader(from)
	return h, err
}

// headStart is what stands before the header's text, in bytes.
const headStart = len(magic) + 4

// readHeader also returns what chunks are bound to.
func readHeader(from io.Reader) (h Header, bound [sha256.Size]byte, err error) {
	head := make([]byte, headStart)
	if _, err := io.ReadFull(from, head); err != nil {
		return h, bound, fmt.Errorf("%w: it has no header: %w", ErrFormat, err)
	}
	size, err := headText(head)
	if err != nil {
		return h, bound, err
	}
	head = append(head, make([]byte, size)...)
	if _, err := io.ReadFull(from, head[headStart:]); err != nil {
		return h, bound, fmt.Errorf("%w: its header ends early: %w", ErrFormat, err)
	}
	return parseHeader(head)
}

// headText returns the size of the header's text, in bytes, of a file that begins with head.
func headText(head []byte) (int, error) {
	if string(head[:len(magic)]) != magic {
		if bytes.HasPrefix(head, []byte("PYISOCK")) {
			return 0, fmt.Errorf("%w: it has format %q, this version reads %q", ErrFormat, head[:len(magic)], magic)
		}
		return 0, fmt.Errorf("%w: it does not begin with %q", ErrFormat, magic)
	}
	size := binary.BigEndian.Uint32(head[len(magic):headStart])
	if size > maxHeader {
		return 0, fmt.Errorf("%w: its header has %d bytes; %d is the most", ErrFormat, size, maxHeader)
	}
	return int(size), nil
}

// parseHeader reads all that stands before the first chunk.
func parseHeader(head []byte) (h Header, bound [sha256.Size]byte, err error) {
	if err := strictjson.Unmarshal(head[headStart:], &h); err != nil {
		return h, bound, fmt.Errorf("%w: its header: %w", ErrFormat, err)
	}
	return h, sha256.Sum256(head), h.valid()
}
