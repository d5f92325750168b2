package wire

import "encoding/binary"

// Posts come by the million, so they are coded here, in one piece of memory: package
// proto makes four of one, and looks up the type of each field. These write what
// proto writes, and read no more than that: the rest is left to proto.

// Tags of the fields, as proto has them on the wire.
const (
	tagCell  = 1 << 3
	tagPost1 = 44<<3&0x7f | 2 | 0x80 // of two bytes
	tagPost2 = 44 << 3 >> 7
	tagType  = 1 << 3
)

// maxPost is the size of the largest: the tags, a cell, a length and a type.
const maxPost = 1 + binary.MaxVarintLen64 + 2 + 1 + 1 + binary.MaxVarintLen32

// posted is a post with all that belongs to it.
type posted struct {
	Msg
	control Control
	body    Control_Post
	post    Post
}

// appendPost appends c behind its length, if it is a post and nothing else.
func appendPost(buf []byte, c *Control) ([]byte, bool) {
	p, ok := c.Body.(*Control_Post)
	if !ok || p.Post == nil || c.Op != 0 || c.DeadlineNs != 0 || c.Trace != "" || len(c.unknownFields)+len(p.Post.unknownFields) > 0 {
		return buf, false
	}
	var b [1 + maxPost]byte
	n := 1
	if c.Cell != 0 {
		b[n] = tagCell
		n += 1 + binary.PutUvarint(b[n+1:], c.Cell)
	}
	b[n], b[n+1] = tagPost1, tagPost2
	start := n + 3
	n = start
	if p.Post.Type != 0 {
		b[n] = tagType
		n += 1 + binary.PutUvarint(b[n+1:], uint64(p.Post.Type))
	}
	b[start-1] = byte(n - start)
	b[0] = byte(n - 1)
	return append(buf, b[:n]...), true
}

// decodePost returns nil for what is not exactly a post.
func decodePost(b []byte) *Msg {
	var id, kind uint64
	if len(b) > 0 && b[0] == tagCell {
		v, n := binary.Uvarint(b[1:])
		if n <= 0 {
			return nil
		}
		id, b = v, b[1+n:]
	}
	if len(b) < 3 || b[0] != tagPost1 || b[1] != tagPost2 || int(b[2]) != len(b)-3 {
		return nil
	}
	if b = b[3:]; len(b) > 0 {
		v, n := binary.Uvarint(b[1:])
		if b[0] != tagType || n <= 0 || n != len(b)-1 {
			return nil
		}
		kind = v
	}
	p := &posted{control: Control{Cell: id}, post: Post{Type: uint32(kind)}}
	p.body.Post = &p.post
	p.control.Body = &p.body
	p.Control = &p.control
	return &p.Msg
}
