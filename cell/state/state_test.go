package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
)

// sample is a stream with every kind of record.
func sample(tb testing.TB) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := NewWriter(func(p []byte) error { b.Write(p); return nil })
	check := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	check(w.State(Data, []byte("pickle")))
	check(w.State(CodePart, []byte("co")))
	check(w.State(Code, []byte("de")))
	check(w.State(Data, bytes.Repeat([]byte{7}, cell.MaxChunk)))
	check(w.Inbox(cell.BytesValue([]byte("raw"))))
	check(w.Outbox(cell.Item{Value: cell.Null()}))
	check(w.Outbox(cell.Item{Err: cell.Errorf(cell.GuestError, "no")}))
	s, err := w.End(cell.Snapshot{Python: "cpython-314", Objects: 3, Inbox: 1, Outbox: 2})
	check(err)
	if s.Size != int64(b.Len()) {
		tb.Errorf("End says %d bytes, %d were written", s.Size, b.Len())
	}
	return b.Bytes()
}

func readAll(from io.Reader) (records []Record, err error) {
	r, err := NewReader(from)
	for err == nil {
		var rec Record
		if rec, err = r.Next(); err == nil {
			records = append(records, rec)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return records, err
}

func TestRoundTrip(t *testing.T) {
	records, err := readAll(iotest.OneByteReader(bytes.NewReader(append(sample(t), "what follows"...))))
	if err != nil {
		t.Fatal(err)
	}
	var kinds []Kind
	for _, r := range records {
		kinds = append(kinds, r.Kind)
	}
	if d := cmp.Diff([]Kind{Data, CodePart, Code, Data, Inbox, Outbox, Failure, End}, kinds); d != "" {
		t.Error(d)
	}
	if v := records[4].Value; v.Type != cell.Bytes || string(v.Data) != "raw" {
		t.Errorf("inbox: %v", v)
	}
	if e := records[6].Err; e == nil || e.Kind != cell.GuestError || e.Message != "no" {
		t.Errorf("failure: %v", e)
	}
	if s := records[7].Snapshot; s.Python != "cpython-314" || s.Objects != 3 {
		t.Errorf("end: %+v", s)
	}
}

// Every byte counts: a stream that was cut or changed anywhere is not read to its end.
func TestDamage(t *testing.T) {
	whole := sample(t)
	near := func(i int) bool { return i < 200 || i > len(whole)-500 || i%4099 == 0 }
	for i := range whole {
		if !near(i) {
			continue
		}
		if _, err := readAll(bytes.NewReader(whole[:i])); !errors.Is(err, ErrFormat) {
			t.Fatalf("cut at %d: %v", i, err)
		}
		bad := bytes.Clone(whole)
		bad[i] ^= 1 << (i % 8)
		if _, err := readAll(bytes.NewReader(bad)); !errors.Is(err, ErrFormat) {
			t.Fatalf("byte %d changed: %v", i, err)
		}
	}
}

// records writes raw records, with the sums that belong to them.
func records(rs ...Record) []byte {
	var b bytes.Buffer
	w := NewWriter(func(p []byte) error { b.Write(p); return nil })
	for _, r := range rs {
		_ = w.record(r.Kind, r.Payload)
	}
	w.flush()
	return b.Bytes()
}

func TestRefused(t *testing.T) {
	end, _ := json.Marshal(cell.Snapshot{})
	for name, tc := range map[string]struct {
		stream []byte
		want   string
	}{
		"empty":          {nil, "ends too early"},
		"another file":   {[]byte("PK\x03\x04 and more"), "not a cell's state"},
		"later version":  {append([]byte(Magic), 9), "has version 9, this build reads 1"},
		"unknown kind":   {records(Record{Kind: 99}), ""},
		"kind 0":         {append(append([]byte(Magic), Version), 0, 0, 0, 0, 0), "kind 0"},
		"huge length":    {append(append([]byte(Magic), Version), byte(Data), 0xff, 0xff, 0xff, 0xff), "4294967295 bytes"},
		"long, missing":  {append(append([]byte(Magic), Version), byte(Inbox), 0, 0, 0, 4), "ends too early"},
		"out of order":   {records(Record{Kind: Inbox, Payload: []byte{0}}, Record{Kind: Data}), "out of its order"},
		"half a code":    {records(Record{Kind: CodePart}, Record{Kind: Data}), "out of its order"},
		"code unended":   {records(Record{Kind: CodePart}, Record{Kind: End, Payload: end}), "out of its order"},
		"empty value":    {records(Record{Kind: Inbox}), "unknown type"},
		"unknown type":   {records(Record{Kind: Outbox, Payload: []byte{7}}), "unknown type"},
		"failure of 0":   {records(Record{Kind: Failure, Payload: []byte("{}")}), "unknown kind of error"},
		"end is no JSON": {records(Record{Kind: End, Payload: []byte("{")}), "unexpected end of JSON"},
		"no end":         {records(Record{Kind: Data}), "ends too early"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readAll(bytes.NewReader(tc.stream))
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestWriterStopsAtTheFirstError(t *testing.T) {
	full := errors.New("disk full")
	calls := 0
	w := NewWriter(func([]byte) error { calls++; return full })
	chunk := make([]byte, cell.MaxChunk)
	for range 3 {
		_ = w.State(Data, chunk)
	}
	if _, err := w.End(cell.Snapshot{}); !errors.Is(err, full) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if err := NewWriter(nil).State(Data, make([]byte, cell.MaxChunk+1)); err == nil {
		t.Error("a record that no Reader takes was written")
	}
}

func TestSourceErrorsPass(t *testing.T) {
	lost := errors.New("lost")
	_, err := readAll(io.MultiReader(bytes.NewReader(sample(t)[:40]), iotest.ErrReader(lost)))
	if !errors.Is(err, lost) || errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(sample(f))
	f.Add(records(Record{Kind: CodePart, Payload: []byte("x")}, Record{Kind: Code}))
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		bad := sample(f)[:2000]
		bad[r.IntN(len(bad))]++
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		records, err := readAll(bytes.NewReader(stream))
		if err != nil && !errors.Is(err, ErrFormat) {
			t.Errorf("%v is not ErrFormat", err)
		}
		for _, r := range records {
			if len(r.Payload) > r.Kind.most() || len(r.Payload) > len(stream) {
				t.Errorf("a payload of %d bytes", len(r.Payload))
			}
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	chunk := make([]byte, cell.MaxChunk)
	w := NewWriter(func([]byte) error { return nil })
	b.SetBytes(int64(len(chunk)))
	for b.Loop() {
		_ = w.State(Data, chunk)
	}
}

func BenchmarkReader(b *testing.B) {
	stream := records(Record{Kind: Data, Payload: make([]byte, cell.MaxChunk)})
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		r, err := NewReader(bytes.NewReader(stream))
		if err == nil {
			_, err = r.Next()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
