// Package strictjson reads JSON that this program or a newer one wrote: what it does not know may
// matter, and is an error.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Marshal writes one that has as many bytes as most, at the most. It may have six bytes for one of what it is made of.
func Marshal(from any, most int) ([]byte, error) {
	text, err := json.Marshal(from)
	if err == nil && len(text) > most {
		err = fmt.Errorf("it has %d bytes; %d is the most", len(text), most)
	}
	if err != nil {
		return nil, err
	}
	return text, nil
}

// Unmarshal reads one JSON text and nothing after it. A field that into does not have is an error.
func Unmarshal(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows it")
	}
	return nil
}
