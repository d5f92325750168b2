package boltfile

import (
	"encoding/binary"
	"hash/fnv"
)

// The layout of bbolt's files, version 2, as its internal/common has it. Numbers are in the
// byte order of the machine.
const (
	magic         = 0xED0CDAED
	version       = 2
	headerSize    = 16 // of a page: id 8, flags 2, count 2, overflow 4
	metaSize      = 64 // without its page's header; the last 8 bytes are the checksum
	branchSize    = 16 // of an element: key's offset 4, its size 4, page 8
	leafSize      = 16 // of an element: flags 4, key's offset 4, its size 4, value's size 4
	bucketSize    = 16 // of a bucket: root page 8, sequence 8
	branchFlag    = 0x01
	leafFlag      = 0x02
	metaFlag      = 0x04
	freelistFlag  = 0x10
	bucketLeaf    = 0x01
	firstPage     = 2 // after the meta pages
	countIsInData = 0xffff
)

var order = binary.NativeEndian

// meta is what a meta page says.
type meta struct {
	root, freelist, pages, txid uint64
}

// readMeta reads the meta page with a number, 0 or 1.
func (c *checker) readMeta(number uint64) (meta, error) {
	b := make([]byte, PageSize)
	if _, err := c.r.ReadAt(b, int64(number)*PageSize); err != nil {
		return meta{}, c.damage("meta page %d cannot be read: %v", number, err)
	}
	h, m := readHeader(b), b[headerSize:]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	switch {
	case order.Uint32(m) != magic || order.Uint32(m[4:]) != version || order.Uint32(m[8:]) != PageSize:
		return meta{}, c.damage("meta page %d is not of a bbolt file of version %d with pages of %d bytes", number, version, PageSize)
	case h.id != number || h.flags != metaFlag:
		return meta{}, c.damage("meta page %d calls itself page %d with flags %#x", number, h.id, h.flags)
	case order.Uint64(m[metaSize-8:]) != sum.Sum64():
		return meta{}, c.damage("meta page %d does not match its checksum", number)
	}
	return meta{root: order.Uint64(m[16:]), freelist: order.Uint64(m[32:]), pages: order.Uint64(m[40:]), txid: order.Uint64(m[48:])}, nil
}

// header begins each page.
type header struct {
	id           uint64
	flags, count uint16
	overflow     uint32
}

func readHeader(b []byte) header {
	return header{order.Uint64(b), order.Uint16(b[8:]), order.Uint16(b[10:]), order.Uint32(b[12:])}
}
