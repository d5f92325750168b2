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
