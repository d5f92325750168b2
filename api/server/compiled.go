package server

import (
	"container/list"
	"context"
	"crypto/sha256"
	"sync"

	"github.com/pyisolate/pyisolate/policystore/document"
)

const (
	// maxCompiled is of the texts whose meanings are remembered, in bytes,
	maxCompiled = 8 << 20
	// and compiledHead what the smallest counts as.
	compiledHead = 4 << 10
)

// compiledKey is what a sandbox's meaning depends on: names are not looked up in it, and keys
// of plug-ins are the same as long as the node runs.
type compiledKey struct {
	document, sandbox string
	text              [sha256.Size]byte
}

// compiled remembers what sandboxes mean that cells were spawned under, the latest asked for. Methods may be
// called from any goroutine.
type compiled struct {
	mu    sync.Mutex
	of    map[compiledKey]*list.Element
	used  *list.List // of *compiledText, the latest first
	bytes int
}

type compiledText struct {
	key   compiledKey
	bytes int
	means *document.Compiled
}

func newCompiled() *compiled {
	return &compiled{of: map[compiledKey]*list.Element{}, used: list.New()}
}

func (c *compiled) get(k compiledKey) *document.Compiled {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.of[k]
	if at == nil {
		return nil
	}
	c.used.MoveToFront(at)
	return at.Value.(*compiledText).means
}

func (c *compiled) put(k compiledKey, text int, means *document.Compiled) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[k] != nil {
		return
	}
	bytes := compiledHead + text
	c.of[k] = c.used.PushFront(&compiledText{k, bytes, means})
	for c.bytes += bytes; c.bytes > maxCompiled; {
		last := c.used.Remove(c.used.Back()).(*compiledText)
		delete(c.of, last.key)
		c.bytes -= last.bytes
	}
}

// meaning is what a sandbox of a document means. Names are looked up for cells that nobody does it
// for later.
func (s *cells) meaning(ctx context.Context, holder string, k compiledKey, text []byte, resolve bool) (*document.Compiled, error) {
	o := document.Options{Keys: s.judge.options.Keys}
	means, err := s.remembered(ctx, holder, k, text, o)
	if err != nil || !resolve || len(means.Names) == 0 {
		return means, err
	}
	o.Resolve = lookUp(ctx, means.Names) // in nobody's turn
	done, err := s.judge.turns.Wait(ctx, holder)
	if err != nil {
		return nil, err
	}
	defer done()
	return compileText(k.document, text, k.sandbox, o)
}

// remembered compiles what is not remembered, when it is the holder's turn: a text may take a
// processor for a second.
func (s *cells) remembered(ctx context.Context, holder string, k compiledKey, text []byte, o document.Options) (*document.Compiled, error) {
	if means := s.compiled.get(k); means != nil {
		return means, nil
	}
	done, err := s.judge.turns.Wait(ctx, holder)
	if err != nil {
		return nil, err
	}
	defer done()
	if means := s.compiled.get(k); means != nil { // it came meanwhile
		return means, nil
	}
	means, err := compileText(k.document, text, k.sandbox, o)
	if err == nil {
		s.compiled.put(k, len(text), means)
	}
	return means, err
}
