package members

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// MaxMeta is how many bytes a [Meta] has at most, encoded.
const MaxMeta = 512

const (
	// leavingSize is kept free for the last that a node says.
	leavingSize = 3

	metaVersion = 1
	maxLists    = 16
	maxLabels   = 16
	maxWord     = 63
	maxAddress  = 259
)

// The fields of a Meta. Numbers are never used for something else; those that a node does not
// know, it skips.
const (
	fieldWire    = 1
	fieldCPUs    = 2
	fieldMemory  = 3
	fieldCells   = 4
	fieldPython  = 5
	fieldBackend = 6 // once each
	fieldLayer   = 7 // once each
	fieldNUMA    = 8
	fieldLabel   = 9 // once each: the length of the key, the key, the value
	fieldLeaving = 10
	fieldRunning = 11
	fieldTaken   = 12
	fieldClosed  = 13
)

// ErrMeta: it is too much, or not what a node says of itself.
var ErrMeta = errors.New("not the metadata of a node")

// Meta is what a node says of itself. Words are printable ASCII without spaces, 1 to 63 bytes;
// values of labels may be empty.
type Meta struct {
	// Wire is the address of the node's port in package wire, host:port.
	Wire string
	// CPUs it can use, in thousandths.
	CPUs uint64
	// Memory for cells, in bytes.
	Memory uint64
	// Cells that it runs at most.
	Cells uint64
	// Python is the ABI of its cells, such as cpython-314.
	Python string
	// Backends that it has, at most 16, in order.
	Backends []string
	// Layers of confinement that it has, at most 16, in order.
	Layers []string
	// NUMA is its number of memory nodes.
	NUMA uint64
	// Labels such as zone, at most 16.
	Labels map[string]string
	// Running is how many cells it has, and Taken how many bytes their limits permit together.
	Running, Taken uint64
	// Closed is a word for why it takes no more cells; empty: it does.
	Closed string
	// Leaving: it goes. [Members.Leave] sets it.
	Leaving bool
}

// Encode is the metadata for the others, the same for equal ones. The error is [ErrMeta].
func (m Meta) Encode() ([]byte, error) {
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMeta, err)
	}
	b := []byte{metaVersion}
	b = appendText(b, fieldWire, m.Wire)
	b = appendNumber(b, fieldCPUs, m.CPUs)
	b = appendNumber(b, fieldMemory, m.Memory)
	b = appendNumber(b, fieldCells, m.Cells)
	b = appendText(b, fieldPython, m.Python)
	for _, w := range m.Backends {
		b = appendText(b, fieldBackend, w)
	}
	for _, w := range m.Layers {
		b = appendText(b, fieldLayer, w)
	}
	b = appendNumber(b, fieldNUMA, m.NUMA)
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		b = appendText(b, fieldLabel, string([]byte{byte(len(k))})+k+m.Labels[k])
	}
	b = appendNumber(b, fieldRunning, m.Running)
	b = appendNumber(b, fieldTaken, m.Taken)
	b = appendText(b, fieldClosed, m.Closed)
	if most := MaxMeta - leavingSize; len(b) > most {
		return nil, fmt.Errorf("%w: it has %d bytes, %d are the most; take fewer or shorter labels", ErrMeta, len(b), most)
	}
	if m.Leaving {
		b = appendNumber(b, fieldLeaving, 1)
	}
	return b, nil
}

func appendText(b []byte, field byte, text string) []byte {
	if text == "" {
		return b
	}
	b = binary.AppendUvarint(append(b, field), uint64(len(text)))
	return append(b, text...)
}

func appendNumber(b []byte, field byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return appendText(b, field, string(binary.AppendUvarint(nil, n)))
}

// DecodeMeta reads what [Meta.Encode] wrote, also that of a later node. The error is [ErrMeta].
func DecodeMeta(b []byte) (Meta, error) {
	m, err := decodeMeta(b)
	if err == nil {
		err = m.validate()
	}
	if err != nil {
		return Meta{}, fmt.Errorf("%w: %w", ErrMeta, err)
	}
	return m, nil
}

func decodeMeta(b []byte) (Meta, error) {
	var m Meta
	if len(b) == 0 || len(b) > MaxMeta {
		return m, fmt.Errorf("%d bytes, 1 to %d are right", len(b), MaxMeta)
	}
	if b[0] != metaVersion {
		return m, fmt.Errorf("version %d, %d is known", b[0], metaVersion)
	}
	for b = b[1:]; len(b) > 0; {
		field := b[0]
		n, used := binary.Uvarint(b[1:])
		if used <= 0 || n > uint64(len(b)-1-used) {
			return m, fmt.Errorf("field %d is cut off", field)
		}
		text := b[1+used : 1+used+int(n)]
		b = b[1+used+int(n):]
		if err := m.take(field, text); err != nil {
			return m, fmt.Errorf("field %d: %w", field, err)
		}
	}
	return m, nil
}

// take sets a field.
func (m *Meta) take(field byte, text []byte) (err error) {
	switch field {
	case fieldWire:
		m.Wire = string(text)
	case fieldCPUs:
		m.CPUs, err = number(text)
	case fieldMemory:
		m.Memory, err = number(text)
	case fieldCells:
		m.Cells, err = number(text)
	case fieldPython:
		m.Python = string(text)
	case fieldBackend:
		m.Backends = append(m.Backends, string(text))
	case fieldLayer:
		m.Layers = append(m.Layers, string(text))
	case fieldNUMA:
		m.NUMA, err = number(text)
	case fieldLabel:
		err = m.label(text)
	case fieldRunning:
		m.Running, err = number(text)
	case fieldTaken:
		m.Taken, err = number(text)
	case fieldClosed:
		m.Closed = string(text)
	case fieldLeaving:
		m.Leaving = true
	}
	return err
}

func (m *Meta) label(text []byte) error {
	if len(text) == 0 || int(text[0]) > len(text)-1 {
		return errors.New("the label is cut off")
	}
	k, v := string(text[1:1+text[0]]), string(text[1+text[0]:])
	if m.Labels == nil {
		m.Labels = map[string]string{}
	}
	m.Labels[k] = v
	return nil
}

func number(text []byte) (uint64, error) {
	n, used := binary.Uvarint(text)
	if used <= 0 || used != len(text) {
		return 0, errors.New("not a number")
	}
	return n, nil
}

// validate checks what does not depend on the encoding.
func (m Meta) validate() error {
	if err := word("the address", m.Wire, 0, maxAddress); err != nil {
		return err
	}
	if err := word("the Python", m.Python, 0, maxWord); err != nil {
		return err
	}
	if err := word("why it is closed", m.Closed, 0, maxWord); err != nil {
		return err
	}
	for what, list := range map[string][]string{"backend": m.Backends, "layer": m.Layers} {
		if len(list) > maxLists {
			return fmt.Errorf("%d times a %s, %d are the most", len(list), what, maxLists)
		}
		for _, w := range list {
			if err := word("the "+what, w, 1, maxWord); err != nil {
				return err
			}
		}
	}
	if len(m.Labels) > maxLabels {
		return fmt.Errorf("%d labels, %d are the most", len(m.Labels), maxLabels)
	}
	for k, v := range m.Labels {
		if err := word("the key of a label", k, 1, maxWord); err != nil {
			return err
		}
		if err := word("label "+k, v, 0, maxWord); err != nil {
			return err
		}
	}
	return nil
}

func word(what, text string, least, most int) error {
	if len(text) < least || len(text) > most {
		return fmt.Errorf("%s %.80q has %d bytes, %d to %d are right", what, text, len(text), least, most)
	}
	for _, c := range []byte(text) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("%s %.80q has a character that is not allowed", what, text)
		}
	}
	return nil
}
