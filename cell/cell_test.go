package cell_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

// What a guest measures can be told in JSON, whatever it is.
func TestSampleJSON(t *testing.T) {
	for want, value := range map[string]float64{
		`{"name":"x","value":0.5,"tags":{"a":"b"}}`:         0.5,
		`{"name":"x","tags":{"a":"b"},"value":"NaN"}`:       math.NaN(),
		`{"name":"x","tags":{"a":"b"},"value":"Infinity"}`:  math.Inf(1),
		`{"name":"x","tags":{"a":"b"},"value":"-Infinity"}`: math.Inf(-1),
	} {
		data, err := json.Marshal(cell.Sample{Name: "x", Value: value, Tags: map[string]string{"a": "b"}})
		if err != nil || string(data) != want {
			t.Errorf("%v: %s, %v; want %s", value, data, err, want)
		}
	}
}
