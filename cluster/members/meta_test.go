package members

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func whole() Meta {
	return Meta{
		Wire: "node-1.example:7001", CPUs: 64_000, Memory: 256 << 30, Cells: 5000, Python: "cpython-314",
		Backends: []string{"subinterpreter", "process"}, Layers: []string{"landlock", "seccomp", "cgroup", "lsm"},
		NUMA: 2, Leaving: true, Labels: map[string]string{"zone": "north", "rack": "12", "spot": ""},
	}
}

func TestMetaRoundTrip(t *testing.T) {
	for name, m := range map[string]Meta{
		"empty": {}, "whole": whole(), "numbers": {CPUs: 1<<64 - 1, Memory: 1<<64 - 1, Cells: 1, NUMA: 1<<64 - 1},
		"words": {Wire: strings.Repeat("w", maxAddress), Labels: map[string]string{strings.Repeat("k", maxWord): strings.Repeat("v", maxWord)}},
	} {
		b, err := m.Encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := DecodeMeta(b)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		again, _ := m.Encode()
		if !bytes.Equal(again, b) {
			t.Errorf("%s: it is encoded in two ways", name)
		}
		later := append(bytes.Clone(b), 200, 2, 'x', 'y')
		if got, err := DecodeMeta(later); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s: with a field of a later version: %+v, %v", name, got, err)
		}
	}
	b, _ := whole().Encode()
	t.Logf("%d bytes", len(b))
}

func TestMetaBounds(t *testing.T) {
	many := map[string]string{}
	for i := range maxLabels + 1 {
		many[fmt.Sprint(i)] = ""
	}
	big := map[string]string{}
	for i := range maxLabels {
		big[fmt.Sprint(i)] = strings.Repeat("v", maxWord)
	}
	for name, m := range map[string]Meta{
		"address":         {Wire: strings.Repeat("w", maxAddress+1)},
		"Python":          {Python: strings.Repeat("p", maxWord+1)},
		"space":           {Python: "c python"},
		"newline":         {Backends: []string{"a\n"}},
		"not ASCII":       {Layers: []string{"é"}},
		"empty backend":   {Backends: []string{""}},
		"many layers":     {Layers: make([]string, maxLists+1)},
		"empty key":       {Labels: map[string]string{"": "x"}},
		"long value":      {Labels: map[string]string{"k": strings.Repeat("v", maxWord+1)}},
		"many labels":     {Labels: many},
		"too much in all": {Labels: big},
	} {
		if _, err := m.Encode(); !errors.Is(err, ErrMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":         {},
		"version":         {2},
		"too long":        make([]byte, MaxMeta+1),
		"no length":       {metaVersion, fieldWire},
		"cut off":         {metaVersion, fieldWire, 5, 'x'},
		"endless length":  append([]byte{metaVersion, fieldWire}, bytes.Repeat([]byte{0xff}, 11)...),
		"number":          {metaVersion, fieldCPUs, 2, 0x80, 0x80},
		"number and more": {metaVersion, fieldNUMA, 2, 1, 1},
		"label":           {metaVersion, fieldLabel, 2, 5, 'k'},
		"empty label":     {metaVersion, fieldLabel, 0},
		"control":         {metaVersion, fieldPython, 1, 7},
	} {
		if _, err := DecodeMeta(b); !errors.Is(err, ErrMeta) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzMeta(f *testing.F) {
	b, _ := whole().Encode()
	f.Add(b)
	f.Add([]byte{metaVersion})
	f.Add([]byte{metaVersion, fieldLabel, 3, 1, 'k', 'v', 99, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeMeta(b)
		if err != nil || len(b) > MaxMeta-leavingSize {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatalf("%+v is read and cannot be written: %v", m, err)
		}
		if back, err := DecodeMeta(again); err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%+v, then %+v, %v", m, back, err)
		}
	})
}

func BenchmarkMeta(b *testing.B) {
	m := whole()
	for b.Loop() {
		text, err := m.Encode()
		if err == nil {
			_, err = DecodeMeta(text)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
