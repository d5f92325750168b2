package refresh

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/pyisolate/pyisolate/internal/durable"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// sourceFile keeps a node's sources: one JSON object, replaced as a whole. "" keeps nothing.
type sourceFile string

// sourcesFormat is the only one there is.
const sourcesFormat = 1

type sourcesDocument struct {
	Format  int      `json:"format"`
	Sources []record `json:"sources"`
}

// record is a source and what it gave last, without which nobody could tell after a start
// whether it gives something new.
type record struct {
	Source
	Seen *seen `json:"seen,omitempty"` // nil: not known
}

// seen is what a source gave last.
type seen struct {
	SHA256       []byte `json:"sha256"` // of the text
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
}

// sane is what of it can be known. What is not as this program writes it is not known: it came from a
// server, and no server is to keep a node from starting.
func (s *seen) sane() *seen {
	if s == nil || len(s.SHA256) != sha256.Size {
		return nil
	}
	v := Validator{s.ETag, s.LastModified}.sane()
	return &seen{SHA256: s.SHA256, ETag: v.ETag, LastModified: v.LastModified}
}

// maxSourceFile is far above what maxSources take.
const maxSourceFile = 4 << 20

func (f sourceFile) read() ([]record, error) {
	if f == "" {
		return nil, nil
	}
	text, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("refresh: read the sources: %w", err)
	}
	sources, err := decodeSources(text)
	if err != nil {
		return nil, fmt.Errorf("refresh: %s: %w; mend it, or remove it and pull again", string(f), err)
	}
	return sources, nil
}

// decodeSources takes what encodeSources makes and nothing else.
func decodeSources(text []byte) ([]record, error) {
	if err := fits(text); err != nil {
		return nil, err
	}
	var d sourcesDocument
	if err := strictjson.Unmarshal(text, &d); err != nil {
		return nil, err
	}
	if d.Format != sourcesFormat {
		return nil, fmt.Errorf("format %d is not known; this build has format %d", d.Format, sourcesFormat)
	}
	names := map[string]bool{}
	for i, s := range d.Sources {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("source %q: %w", s.Name, err)
		}
		if s.Every == 0 || names[s.Name] {
			return nil, fmt.Errorf("source %q: it is there twice, or is not to be repeated", s.Name)
		}
		names[s.Name] = true
		d.Sources[i].Seen = s.Seen.sane()
	}
	return d.Sources, nil
}

func fits(text []byte) error {
	if len(text) > maxSourceFile {
		return fmt.Errorf("it has %d bytes; %d is the most", len(text), maxSourceFile)
	}
	return nil
}

// encodeSources makes nothing that decodeSources would not take for its size.
func encodeSources(all map[string]record) ([]byte, error) {
	d := sourcesDocument{Format: sourcesFormat, Sources: []record{}}
	for _, s := range all {
		d.Sources = append(d.Sources, s)
	}
	slices.SortFunc(d.Sources, func(a, b record) int { return cmp.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	return text, fits(text)
}

// write replaces the file so that a crash leaves the old or the new one.
func (f sourceFile) write(all map[string]record) (err error) {
	if f == "" {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("refresh: keep the sources: %w", err)
		}
	}()
	text, err := encodeSources(all)
	if err != nil {
		return err
	}
	return durable.WriteFile(string(f), text, 0o600)
}
