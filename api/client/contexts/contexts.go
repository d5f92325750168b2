package contexts

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/internal/durable"
)

// Errors that a caller can act on.
var (
	// ErrUnknown: there is no context of the name.
	ErrUnknown = errors.New("unknown context")
	// ErrInvalid: the file, or a context, is not as it must be.
	ErrInvalid = errors.New("invalid")
)

// Context is a node and what to call it with.
type Context struct {
	Name string `yaml:"name" json:"name"`
	// Server is the node's address: unix:///PATH, https://HOST:PORT or http://127.0.0.1:PORT.
	Server string `yaml:"server" json:"server"`
	// CA is a file of certificates, in PEM form, that the server is held to; "": the system's.
	CA string `yaml:"ca,omitempty" json:"ca,omitempty"`
	// TokenFile has the token, or Token is it. Neither: the node knows its own user and root.
	TokenFile string `yaml:"token-file,omitempty" json:"token_file,omitempty"`
	Token     string `yaml:"token,omitempty" json:"-"`
}

// Set is all contexts of a user.
type Set struct {
	// Current is the one that is used when none is named; "": none.
	Current  string    `yaml:"current,omitempty"`
	Contexts []Context `yaml:"contexts,omitempty"`
}

// Bounds of a file, and of a token in one.
const (
	maxFile  = 1 << 20
	maxToken = 4096
)

var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// File is where the user's contexts are: pyisolate/contexts.yml in $XDG_CONFIG_HOME, or
// ~/.config.
func File() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("contexts: %w", err)
	}
	return filepath.Join(dir, "pyisolate", "contexts.yml"), nil
}

// Load reads the file; one that is not there has no contexts.
func Load(path string) (Set, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Set{}, nil
	}
	if err != nil {
		return Set{}, fmt.Errorf("contexts: %w", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return Set{}, fmt.Errorf("contexts: %w", err)
	}
	if info.Mode()&0o077 != 0 {
		return Set{}, fmt.Errorf("%w: %s has tokens and is open to others (%s): chmod 0600 %s", ErrInvalid, path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return Set{}, fmt.Errorf("contexts: %w", err)
	}
	s, err := parse(text)
	if err != nil {
		return Set{}, fmt.Errorf("%w: %s: %w", ErrInvalid, path, err)
	}
	return s, nil
}

func parse(text []byte) (s Set, err error) {
	defer func() {
		if p := recover(); p != nil { // no text may end a program
			err = fmt.Errorf("the YAML parser failed: %v", p)
		}
	}()
	if len(text) > maxFile {
		return Set{}, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return Set{}, nil
	}
	if err := yaml.UnmarshalWithOptions(text, &s, yaml.Strict()); err != nil {
		return Set{}, errors.New(yaml.FormatError(err, false, false))
	}
	return s, s.check()
}

// check says what is wrong with the contexts.
func (s Set) check() error {
	seen := map[string]bool{}
	for _, c := range s.Contexts {
		if err := c.Check(); err != nil {
			return err
		}
		if seen[c.Name] {
			return fmt.Errorf("context %s is there twice", c.Name)
		}
		seen[c.Name] = true
	}
	if s.Current != "" && !seen[s.Current] {
		return fmt.Errorf("the current context, %q, is not there", s.Current)
	}
	return nil
}

// Check says what is wrong with a context.
func (c Context) Check() error {
	if !nameRE.MatchString(c.Name) {
		return fmt.Errorf("%w: context %q: a name has 1 to 64 letters, digits, '.', '_' and '-'", ErrInvalid, c.Name)
	}
	if err := client.CheckAddress(c.Server); err != nil {
		return fmt.Errorf("%w: context %s: %w", ErrInvalid, c.Name, err)
	}
	if c.Token != "" && c.TokenFile != "" {
		return fmt.Errorf("%w: context %s: it has a token and a file of one: keep one of them", ErrInvalid, c.Name)
	}
	return nil
}

// Find returns the context of a name.
func (s Set) Find(name string) (Context, error) {
	i := slices.IndexFunc(s.Contexts, func(c Context) bool { return c.Name == name })
	if i < 0 {
		return Context{}, fmt.Errorf("%w: %q; there are %s", ErrUnknown, name, s.names())
	}
	return s.Contexts[i], nil
}

func (s Set) names() string {
	var names []string
	for _, c := range s.Contexts {
		names = append(names, c.Name)
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Put adds a context, or replaces the one of its name. The first becomes the current one.
func (s *Set) Put(c Context) error {
	if err := c.Check(); err != nil {
		return err
	}
	if i := slices.IndexFunc(s.Contexts, func(o Context) bool { return o.Name == c.Name }); i >= 0 {
		s.Contexts[i] = c
		return nil
	}
	s.Contexts = append(s.Contexts, c)
	slices.SortFunc(s.Contexts, func(a, b Context) int { return strings.Compare(a.Name, b.Name) })
	if len(s.Contexts) == 1 {
		s.Current = c.Name
	}
	return nil
}

// Use makes a context the current one.
func (s *Set) Use(name string) error {
	c, err := s.Find(name)
	if err == nil {
		s.Current = c.Name
	}
	return err
}

// Remove forgets a context.
func (s *Set) Remove(name string) error {
	if _, err := s.Find(name); err != nil {
		return err
	}
	s.Contexts = slices.DeleteFunc(s.Contexts, func(c Context) bool { return c.Name == name })
	if s.Current == name {
		s.Current = ""
	}
	return nil
}

// Save writes the file, as a whole or not at all.
func (s Set) Save(path string) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	text, err := yaml.Marshal(s)
	if err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	if err := durable.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("contexts: %w", err)
	}
	return nil
}

// Client is the configuration of a client of the context's node; files are read now.
func (c Context) Client() (out client.Config, err error) {
	out = client.Config{Address: c.Server}
	if c.CA != "" {
		if out.RootCAs, err = ReadCA(c.CA); err != nil {
			return out, err
		}
	}
	switch {
	case c.TokenFile != "":
		out.Token, err = ReadToken(c.TokenFile)
	case c.Token != "":
		out.Token, err = TokenFrom(strings.NewReader(c.Token))
	}
	return out, err
}

// ReadCA reads a file of certificates.
func ReadCA(path string) (*x509.CertPool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the certificates that the server is held to: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%w: %s has no certificate in PEM form", ErrInvalid, path)
	}
	return pool, nil
}

// ReadToken reads a file that has a token alone.
func ReadToken(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	defer func() { _ = f.Close() }()
	return TokenFrom(f)
}

// TokenFrom reads a token that stands alone.
func TokenFrom(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxToken+1))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := string(bytes.TrimSpace(text))
	if token == "" || len(text) > maxToken || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", fmt.Errorf("%w: a token is one word of at most %d bytes", ErrInvalid, maxToken)
	}
	return token, nil
}
