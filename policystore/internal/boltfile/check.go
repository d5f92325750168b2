package boltfile

import (
	"bytes"
	"fmt"
	"io"
)

// maxDepth bounds how far pages and buckets nest.
const maxDepth = 64

// checker walks one file.
type checker struct {
	r     io.ReaderAt
	name  string
	pages uint64 // how many the file uses
	seen  []bool // pages that are reachable, or free
}

// Check reads a file of a size and returns a [*Damage] for the first thing that bbolt relies
// on and that does not hold: both meta pages, the size, each page's identity, kind and
// bounds, the order of keys, and that each page is used once or free. It allocates in
// proportion to the size.
func Check(r io.ReaderAt, size int64, name string) error {
	c := &checker{r: r, name: name}
	if size < 4*PageSize {
		return c.damage("truncated: it has %d bytes, an empty file has %d", size, 4*PageSize)
	}
	m, err := c.newest()
	if err != nil {
		return err
	}
	if m.pages > uint64(size)/PageSize {
		return c.damage("truncated: it has %d bytes and %d pages of %d bytes", size, m.pages, PageSize)
	}
	c.pages, c.seen = m.pages, make([]bool, m.pages)
	if err := c.tree(m.root, true, limits{}, 0); err != nil {
		return err
	}
	if err := c.freelist(m.freelist); err != nil {
		return err
	}
	for id := uint64(firstPage); id < c.pages; id++ {
		if !c.seen[id] {
			return c.damage("page %d is neither used nor free", id)
		}
	}
	return nil
}

func (c *checker) damage(format string, args ...any) error {
	return &Damage{File: c.name, What: fmt.Sprintf(format, args...)}
}

// newest is the meta page that bbolt would choose, when both are sound.
func (c *checker) newest() (meta, error) {
	a, err := c.readMeta(0)
	if err != nil {
		return meta{}, err
	}
	b, err := c.readMeta(1)
	if err != nil {
		return meta{}, err
	}
	if a.txid > b.txid {
		return a, nil
	}
	return b, nil
}

// page reads a page with all its overflow, and marks it.
func (c *checker) page(id uint64) (header, []byte, error) {
	if id < firstPage || id >= c.pages {
		return header{}, nil, c.damage("something points to page %d of %d", id, c.pages)
	}
	b := make([]byte, PageSize)
	if _, err := c.r.ReadAt(b, int64(id)*PageSize); err != nil {
		return header{}, nil, c.damage("page %d cannot be read: %v", id, err)
	}
	h := readHeader(b)
	if h.id != id {
		return h, nil, c.damage("page %d calls itself %d", id, h.id)
	}
	if uint64(h.overflow) >= c.pages-id {
		return h, nil, c.damage("page %d has %d more, beyond the last", id, h.overflow)
	}
	for i := id; i <= id+uint64(h.overflow); i++ {
		if err := c.mark(i); err != nil {
			return h, nil, err
		}
	}
	if h.overflow > 0 {
		b = make([]byte, (int64(h.overflow)+1)*PageSize)
		if _, err := c.r.ReadAt(b, int64(id)*PageSize); err != nil {
			return h, nil, c.damage("page %d cannot be read: %v", id, err)
		}
	}
	return h, b, nil
}

func (c *checker) mark(id uint64) error {
	if c.seen[id] {
		return c.damage("page %d is used twice, or used and free", id)
	}
	c.seen[id] = true
	return nil
}

// freelist marks the pages that are free.
func (c *checker) freelist(id uint64) error {
	h, b, err := c.page(id)
	if err != nil {
		return err
	}
	if h.flags != freelistFlag {
		return c.damage("page %d is the free list and has flags %#x", id, h.flags)
	}
	ids, count := b[headerSize:], uint64(h.count)
	if h.count == countIsInData {
		count, ids = order.Uint64(ids), ids[8:]
	}
	if count > uint64(len(ids))/8 {
		return c.damage("page %d, the free list, has %d entries, more than fit", id, count)
	}
	for i := range count {
		free := order.Uint64(ids[8*i:])
		if free < firstPage || free >= c.pages {
			return c.damage("page %d, the free list, has page %d of %d", id, free, c.pages)
		}
		if err := c.mark(free); err != nil {
			return err
		}
	}
	return nil
}

// limits are between which keys must be: from lo, before hi; nil is no limit.
type limits struct{ lo, hi []byte }

func (l limits) allow(key []byte) bool {
	return bytes.Compare(key, l.lo) >= 0 && (l.hi == nil || bytes.Compare(key, l.hi) < 0)
}
