package boltfile

import "bytes"

// tree checks the pages from one down. Only the root of a bucket may be empty.
func (c *checker) tree(id uint64, root bool, l limits, depth int) error {
	if depth > maxDepth {
		return c.damage("page %d is %d levels down", id, depth)
	}
	h, b, err := c.page(id)
	if err != nil {
		return err
	}
	switch h.flags {
	case branchFlag:
		return c.branch(h, b, l, depth)
	case leafFlag:
		if h.count == 0 && !root {
			return c.damage("page %d is a leaf without elements", id)
		}
		return c.leaf(h, b, l, depth)
	}
	return c.damage("page %d has flags %#x", id, h.flags)
}

// branch checks a page of pages. Its first element counts as lower limit only above
// the page's own: bbolt does not renew it when a smaller key is inserted below.
func (c *checker) branch(h header, b []byte, l limits, depth int) error {
	elements, err := c.elements(h, b, branchSize, func(e []byte) (pos, key, value uint32) { return order.Uint32(e), order.Uint32(e[4:]), 0 })
	if err != nil {
		return err
	}
	if len(elements) == 0 {
		return c.damage("page %d is a branch without elements", h.id)
	}
	for i, e := range elements {
		below := limits{lo: e.key, hi: l.hi}
		if i == 0 {
			below.lo = l.lo
		}
		if i+1 < len(elements) {
			below.hi = elements[i+1].key
		}
		if i > 0 && !l.allow(e.key) {
			return c.damage("page %d, element %d is out of order", h.id, i)
		}
		child := order.Uint64(b[headerSize+i*branchSize+8:])
		if err := c.tree(child, false, below, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// leaf checks a page of pairs and the buckets among them.
func (c *checker) leaf(h header, b []byte, l limits, depth int) error {
	elements, err := c.elements(h, b, leafSize, func(e []byte) (pos, key, value uint32) {
		return order.Uint32(e[4:]), order.Uint32(e[8:]), order.Uint32(e[12:])
	})
	if err != nil {
		return err
	}
	for i, e := range elements {
		if !l.allow(e.key) {
			return c.damage("page %d, element %d is out of order", h.id, i)
		}
		switch flags := order.Uint32(b[headerSize+i*leafSize:]); flags {
		case 0:
		case bucketLeaf:
			if err := c.bucket(h.id, e.value, depth); err != nil {
				return err
			}
		default:
			return c.damage("page %d, element %d has flags %#x", h.id, i, flags)
		}
	}
	return nil
}

// bucket checks a bucket that a leaf has as a value: its own pages, or a page within the value.
func (c *checker) bucket(id uint64, v []byte, depth int) error {
	if len(v) < bucketSize {
		return c.damage("page %d has a bucket of %d bytes", id, len(v))
	}
	if root := order.Uint64(v); root != 0 {
		return c.tree(root, true, limits{}, depth+1)
	}
	inline := v[bucketSize:]
	if len(inline) < headerSize || readHeader(inline).flags != leafFlag {
		return c.damage("page %d has a bucket inside that is not a leaf", id)
	}
	h := readHeader(inline)
	h.id = id
	return c.leaf(h, inline, limits{}, depth+1)
}

// element is one of a page, without its flags or child.
type element struct{ key, value []byte }

// elements returns those of a page, in strict order. Their keys and values lie one behind
// the other, from the end of the table of elements on. field reads where an element's key
// is, counted from the element, and the sizes of key and value.
func (c *checker) elements(h header, b []byte, size int, field func(element []byte) (pos, key, value uint32)) ([]element, error) {
	next := uint64(headerSize + int(h.count)*size)
	if next > uint64(len(b)) {
		return nil, c.damage("page %d has %d elements, more than fit", h.id, h.count)
	}
	elements := make([]element, h.count)
	for i := range elements {
		start := headerSize + i*size
		pos, key, value := field(b[start:])
		from := uint64(start) + uint64(pos)
		middle, end := from+uint64(key), from+uint64(key)+uint64(value)
		if key == 0 || from != next || end > uint64(len(b)) {
			return nil, c.damage("page %d, element %d lies where it should not", h.id, i)
		}
		next = end
		elements[i] = element{b[from:middle], b[middle:end]}
		if i > 0 && bytes.Compare(elements[i-1].key, elements[i].key) >= 0 {
			return nil, c.damage("page %d, element %d is out of order", h.id, i)
		}
	}
	return elements, nil
}
