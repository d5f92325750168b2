package capability

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxDepth of a grant, in levels of nesting.
const maxDepth = 16

// DecodeStrict decodes one JSON text. Beyond encoding/json it refuses unknown and
// duplicate keys, keys that differ only in case, more than [MaxKeys] of them, and deep
// nesting. what names the text in errors.
func DecodeStrict(what string, data []byte, into any) error {
	return decode(what, data, into, maxDepth)
}

// decode looks at the keys of so many levels. Deeper ones are refused, unless it is
// one level: below that are values, such as messages, that may be as they like.
func decode(what string, data []byte, into any, levels int) error {
	if !utf8.Valid(data) {
		return Errorf(Invalid, "%s is not UTF-8", what)
	}
	if !json.Valid(data) {
		var raw json.RawMessage
		return Errorf(Invalid, "%s: not valid JSON: %s", what, json.Unmarshal(data, &raw))
	}
	if err := checkKeys(data, levels); err != nil {
		return Errorf(Invalid, "%s: %s", what, err)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return Errorf(Invalid, "%s: %s", what, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// checkKeys walks a valid JSON text and looks for keys that an object has twice.
func checkKeys(data []byte, levels int) error {
	var open []object // from the outermost to here
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			if len(open) >= levels && levels > 1 {
				return fmt.Errorf("nested more than %d levels deep", levels)
			}
			open = append(open, object{isOne: data[i] == '{', key: data[i] == '{'})
		case '}', ']':
			open = open[:len(open)-1]
		case ',':
			o := &open[len(open)-1]
			o.key = o.isOne
		case '"':
			end := endOfString(data, i)
			if n := len(open); n > 0 && n <= levels && open[n-1].key {
				if err := open[n-1].add(data[i:end]); err != nil {
					return err
				}
			}
			i = end - 1
		}
	}
	return nil
}

// object is an object or array that a walk is in.
type object struct {
	isOne bool // an object
	key   bool // the next string is a key
	seen  []string
}

func (o *object) add(quoted []byte) error {
	o.key = false
	var name string
	if err := json.Unmarshal(quoted, &name); err != nil {
		return err
	}
	if slices.ContainsFunc(o.seen, func(s string) bool { return strings.EqualFold(s, name) }) {
		return fmt.Errorf("key %.64q is there twice", name)
	}
	if o.seen = append(o.seen, name); len(o.seen) > MaxKeys {
		return fmt.Errorf("an object has more than %d keys", MaxKeys)
	}
	return nil
}

// MaxKeys is how many keys an object may have; looking for duplicates takes its square.
const MaxKeys = 256

// endOfString returns the index after the string that begins at i.
func endOfString(data []byte, i int) int {
	for i++; data[i] != '"'; i++ {
		if data[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// DecodeScope decodes what a grant says into a struct. A string, or an array of
// them, stands for an object with that list under key, so that short grants stay
// short. No scope at all is an empty object.
func DecodeScope(scope json.RawMessage, key string, into any) error {
	scope = bytes.TrimSpace(scope)
	if len(scope) == 0 || string(scope) == "null" {
		scope = json.RawMessage("{}")
	}
	switch scope[0] {
	case '"':
		scope = append(append([]byte("["), scope...), ']')
		fallthrough
	case '[':
		scope = append(append([]byte(`{`+strconv.Quote(key)+`:`), scope...), '}')
	}
	return DecodeStrict("grant", scope, into)
}

// Content is the part of a payload that carries data, embedded in argument
// structs: at most one of text and base64, or neither when the payload is packed
// and the bytes follow it.
type Content struct {
	Text   *string `json:"text,omitempty"`
	Base64 *string `json:"base64,omitempty"`
}

// Bytes returns the data: what follows a packed payload (nil when it is not
// packed), or what the fields say. ok is false when there is none.
func (c Content) Bytes(body []byte) (data []byte, ok bool, err error) {
	n := 0
	if body != nil {
		data, n = body, n+1
	}
	if c.Text != nil {
		data, n = []byte(*c.Text), n+1
	}
	if c.Base64 != nil {
		n++
		if data, err = base64.StdEncoding.DecodeString(*c.Base64); err != nil {
			return nil, false, Errorf(Invalid, "base64: %s", err)
		}
	}
	if n > 1 {
		return nil, false, Errorf(Invalid, "data is given %d times: use one of text, base64 and a packed payload", n)
	}
	return data, n == 1, nil
}

// ContentOf is the reverse: text if data is UTF-8, else base64.
func ContentOf(data []byte) Content {
	if utf8.Valid(data) {
		s := string(data)
		return Content{Text: &s}
	}
	s := base64.StdEncoding.EncodeToString(data)
	return Content{Base64: &s}
}

// Duration is a time.Duration written as "1m30s".
type Duration time.Duration

// UnmarshalJSON accepts a string that [time.ParseDuration] does.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("duration %.32s: write a string such as \"30s\"", data)
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %.32q: write a number and a unit, such as \"30s\"", s)
	}
	*d = Duration(v)
	return nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Size is a number of bytes, written as a number or as "64KiB".
type Size int64

var units = []struct {
	name  string
	bytes int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"B", 1}}

// UnmarshalJSON accepts a whole number, or a string of one and an optional unit:
// B, KiB, MiB, GiB, TiB.
func (s *Size) UnmarshalJSON(data []byte) error {
	text, factor := string(data), int64(1)
	if len(data) > 0 && data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("size %.32s: %w", data, err)
		}
		for _, u := range units {
			if number, ok := strings.CutSuffix(text, u.name); ok {
				text, factor = strings.TrimSpace(number), u.bytes
				break
			}
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/factor {
		return fmt.Errorf("size %.32s: write a whole number of bytes, or one with a unit, such as \"64KiB\"", data)
	}
	*s = Size(n * factor)
	return nil
}
