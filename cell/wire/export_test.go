package wire

// DecodeAll feeds data in pieces and returns the messages that came of it.
func DecodeAll(data []byte, piece int) ([]*Msg, error) {
	var d decoder
	var msgs []*Msg
	for {
		m, err := d.message()
		if err != nil {
			return msgs, err
		}
		if m != nil {
			msgs = append(msgs, m)
			continue
		}
		if len(data) == 0 {
			return msgs, nil
		}
		n := min(piece, len(data))
		d.feed(append([]byte(nil), data[:n]...))
		data = data[n:]
	}
}

// DecodePost is the coding of posts alone.
var DecodePost = decodePost

// Queued is the capacity of the buffer for what waits to be sent.
func Queued(c Conn) int {
	own := c.(*conn)
	own.mu.Lock()
	defer own.mu.Unlock()
	if own.queue == nil {
		return 0
	}
	return cap(*own.queue)
}

// Received is the capacity of the buffers for what came, while nobody receives.
func Received(c Conn) int {
	r := &c.(*conn).receive
	n := cap(r.rest) + cap(r.piece)
	if r.raw != nil {
		n += len(r.raw)
	}
	return n
}
