package hosttest

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
)

// flooding asks and never reads.
func (w *Worker) flooding(word, rest string) error {
	var n, size int
	if _, err := fmt.Sscan(rest+" 0", &n, &size); err != nil {
		return fmt.Errorf("hosttest: %s: %w", word, err)
	}
	kind, payload := ring.OutRecv, make([]byte, 8) // 0 seconds
	switch word {
	case "hoard":
		binary.LittleEndian.PutUint64(payload, math.Float64bits(-1))
	case "beg":
		kind, payload = ring.OutRequest, make([]byte, 8+size)
	}
	for id := range n {
		if err := w.peer.Send(kind, 0, uint64(id), payload); err != nil {
			return err
		}
	}
	return nil
}

func question(op uint64) uint64 { return op<<8 | 1 }

// receive asks as an operation does, which asks no more once it is interrupted.
func (w *Worker) receive(op uint64, word, rest string) (*cell.Error, error) {
	seconds := -1.0
	if word == "recv" {
		seconds, _ = strconv.ParseFloat(rest, 64)
	}
	payload := binary.LittleEndian.AppendUint64(nil, math.Float64bits(seconds))
	if err := w.peer.Send(ring.OutRecv, ring.Bound, question(op), payload); err != nil {
		return nil, err
	}
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for word == "miss" || !w.peer.Pending() {
		if reason := w.peer.Interrupted(op); reason != 0 && (word == "recv" || w.peer.Pending()) {
			w.gaveUp = true
			return cell.Errorf(cell.Kind(reason), "interrupted"), nil
		}
		select {
		case <-w.killed:
			return nil, errors.New("killed")
		case <-tick.C:
		}
	}
	return w.answer(op)
}

func (w *Worker) request(op uint64, rest string) (*cell.Error, error) {
	capability, action, _ := strings.Cut(rest, " ")
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(capability)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(action)))
	if err := w.peer.Send(ring.OutRequest, 0, question(op), append(b, capability+action+"null"...)); err != nil {
		return nil, err
	}
	return w.answer(op)
}

// answer awaits the answer to the operation's question and posts it.
func (w *Worker) answer(op uint64) (*cell.Error, error) {
	id := question(op)
	f, err := w.peer.Recv()
	for err == nil && f.Kind == ring.InAnswer && f.ID != id { // to what was given up
		f, err = w.peer.Recv()
	}
	if err != nil {
		return nil, err
	}
	switch {
	case f.ID != id || f.Kind != ring.InAnswer:
		return nil, fmt.Errorf("hosttest: frame %d of kind %d in place of an answer to %d", f.ID, f.Kind, id)
	case f.Flags&ring.Error != 0:
		return &cell.Error{Kind: cell.Kind(f.Payload[0]), Message: "request failed"}, nil
	case f.Flags&ring.None != 0:
		f.Payload = []byte("null")
	case f.Flags&ring.Raw != 0:
		f.Payload, _ = json.Marshal(string(f.Payload))
	}
	return nil, w.peer.Send(ring.OutPost, 0, op, f.Payload)
}
