package cell_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

// A limit out of its range is refused, with its unit and the range.
func TestLimits(t *testing.T) {
	for says, l := range map[string]cell.Limits{
		"":                         {},
		"memory is 5 bytes":        {Memory: 5},
		"between 4194304 bytes":    {Memory: 1 << 60},
		"cpu is -1s":               {CPU: -time.Second},
		"wall is -1ns":             {Wall: -1},
		"files is -1; it must":     {Files: -1},
		"between 0 and 65536":      {Children: 1 << 20},
		"message is 1 bytes":       {MessageBytes: 1},
		"queue items is -1":        {QueueItems: -1},
		"both a budget and":        {CPUPerWindow: time.Second},
		"window is 1ms; it must":   {CPUPerWindow: time.Second, CPUWindow: time.Millisecond},
		"cpu per window is -1s; i": {CPUPerWindow: -time.Second, CPUWindow: time.Second},
	} {
		err := l.WithDefaults().Validate()
		if says == "" {
			if err != nil {
				t.Errorf("the defaults: %v", err)
			}
			continue
		}
		if !errors.Is(err, cell.Invalid) || !strings.Contains(err.Error(), says) {
			t.Errorf("%+v: %v, want %q", l, err, says)
		}
	}
}
