package secrets

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// MaxBytes is the largest secret that is answered, whatever the Provider.
const MaxBytes = 64 << 10

// ErrNotFound is what a Provider says of a name it does not have.
var ErrNotFound = errors.New("no such secret")

// Provider finds secrets. It is called from several goroutines. Errors must not
// hold values.
type Provider interface {
	Secret(ctx context.Context, tenant, name string) (Redacted, error)
}

// Redacted is a secret value. Printed, encoded or logged it is "[redacted]".
type Redacted struct{ value []byte }

const mask = "[redacted]"

// NewRedacted takes value over.
func NewRedacted(value []byte) Redacted { return Redacted{value} }

// Reveal returns the value, not a copy.
func (r Redacted) Reveal() []byte { return r.value }

// String, GoString, Format, MarshalText and LogValue show nothing.
func (Redacted) String() string { return mask }

// GoString is for %#v.
func (Redacted) GoString() string { return mask }

// Format is for every other verb; without it, %d would show the bytes.
func (Redacted) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText is for JSON, YAML and the like.
func (Redacted) MarshalText() ([]byte, error) { return []byte(mask), nil }

// LogValue is for slog.
func (Redacted) LogValue() slog.Value { return slog.StringValue(mask) }

// Static is a Provider of fixed values, the same for all tenants, for tests and
// embedding.
type Static map[string]string

// Secret returns the value of name.
func (s Static) Secret(_ context.Context, _, name string) (Redacted, error) {
	v, ok := s[name]
	if !ok {
		return Redacted{}, ErrNotFound
	}
	return NewRedacted([]byte(v)), nil
}

// String hides the values when the provider itself is printed.
func (Static) String() string { return mask }

// GoString hides them from %#v.
func (Static) GoString() string { return mask }

// Env is a Provider of the node's environment variables: those listed, each as
// Prefix and its name. They are read when asked for.
type Env struct {
	Prefix string
	Names  []string
}

// Secret returns the variable's value; an empty one counts as missing.
func (e Env) Secret(_ context.Context, _, name string) (Redacted, error) {
	v := os.Getenv(e.Prefix + name)
	if !slices.Contains(e.Names, name) || v == "" {
		return Redacted{}, ErrNotFound
	}
	return NewRedacted([]byte(v)), nil
}

// Dir is a Provider of one file per secret, named like it, in a directory: the way
// container platforms mount secrets. Links are followed within the directory. Files
// are read when asked for, so that a rotated secret is seen; one line end at the end
// is not part of the value.
type Dir string

// Secret reads the file.
func (d Dir) Secret(_ context.Context, _, name string) (Redacted, error) {
	root, err := os.OpenRoot(string(d))
	if err != nil {
		return Redacted{}, fmt.Errorf("open the directory of secrets: %w", err)
	}
	defer func() { _ = root.Close() }()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Redacted{}, ErrNotFound
	}
	if err != nil {
		return Redacted{}, fmt.Errorf("open secret: %w", err)
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return Redacted{}, fmt.Errorf("open secret: %w", err)
	}
	if !st.Mode().IsRegular() {
		return Redacted{}, fmt.Errorf("secret %s is not a regular file", name)
	}
	value, err := readBounded(f)
	return NewRedacted(bytes.TrimSuffix(bytes.TrimSuffix(value, []byte("\n")), []byte("\r"))), err
}

func readBounded(r io.Reader) ([]byte, error) {
	value, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read secret: %w", err)
	}
	if len(value) > MaxBytes {
		return nil, fmt.Errorf("read secret: it has more than %d bytes", MaxBytes)
	}
	return value, nil
}

// File is a Provider of one file with a JSON object of names and strings. It is
// read when asked for. It has [capability.MaxKeys] names and one mebibyte at most; a [Dir] has
// no such bounds.
type File string

// maxFile bounds the file of a [File].
const maxFile = 1 << 20

// Secret reads the file and takes one value out of it.
func (p File) Secret(_ context.Context, _, name string) (Redacted, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return Redacted{}, fmt.Errorf("open the file of secrets: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Redacted{}, fmt.Errorf("read the file of secrets: %w", err)
	}
	if len(data) > maxFile {
		return Redacted{}, fmt.Errorf("read the file of secrets: it has more than %d bytes", maxFile)
	}
	var all map[string]string
	if capability.DecodeStrict("secrets", data, &all) != nil {
		// Not the decoder's error: it can quote the file.
		return Redacted{}, fmt.Errorf("file %s is not one JSON object of at most %d strings, whose names differ by more than case", string(p), capability.MaxKeys)
	}
	v, ok := all[name]
	if !ok {
		return Redacted{}, ErrNotFound
	}
	return NewRedacted([]byte(v)), nil
}

// First is a Provider that asks others in order, until one has the secret.
type First []Provider

// Secret returns the first hit, or the first error that is not [ErrNotFound].
func (f First) Secret(ctx context.Context, tenant, name string) (Redacted, error) {
	for _, p := range f {
		v, err := p.Secret(ctx, tenant, name)
		if !errors.Is(err, ErrNotFound) {
			return v, err
		}
	}
	return Redacted{}, ErrNotFound
}

// nameRE has no path separators, and nothing that begins with a dot.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
