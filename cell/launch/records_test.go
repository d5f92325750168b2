package launch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/wire"
)

// listener is a sink that counts logs and keeps metrics.
type listener struct {
	cell.Sink
	logs    uint64
	metrics []cell.Sample
}

func (l *listener) Log(cell.LogRecord)   { l.logs++ }
func (l *listener) Metric(s cell.Sample) { l.metrics = append(l.metrics, s) }

// A host that lets its guest's logs through without end is not heard without end. What is dropped
// is counted as lost.
func TestHostLogsWithoutEnd(t *testing.T) {
	h, c, _ := impostor(t)
	h.confined = &confinement{}
	heard := &listener{}
	c.spec.Sink = heard
	const sent, size = 100, 2 << 20
	payload, began := make([]byte, size), time.Now()
	for range sent {
		h.take(wire.New(c.wireID, 0, &wire.Control_Log{Log: &wire.Log{MessageLen: size}}, payload))
	}
	most := recordSlack*wire.RecordBytes/size + uint64(4*time.Since(began).Seconds()) + 1
	if heard.logs < wire.RecordBytes/size || heard.logs > most {
		t.Errorf("%d of %d logs are heard, %d are the most", heard.logs, sent, most)
	}
	if r := c.identify(cell.Report{LogsLost: 1}); r.LogsLost != 1+sent-heard.logs || h.verdict != "" {
		t.Errorf("%d are lost of %d (%s)", r.LogsLost-1, sent-heard.logs, h.verdict)
	}
}

// Tags take much more memory than what they are written as.
func TestTagsAreBounded(t *testing.T) {
	h, c, _ := impostor(t)
	heard := &listener{}
	c.spec.Sink = heard
	few, many := `{"a":"b"}`, `{"a":"`+strings.Repeat("b", maxTags)+`"}`
	for _, tags := range []string{few, many} {
		h.take(wire.New(c.wireID, 0, &wire.Control_Metric{Metric: &wire.Metric{NameLen: 1, Value: 1}}, []byte("n"+tags)))
	}
	if m := heard.metrics; len(m) != 2 || m[0].Tags["a"] != "b" || m[1].Name != "n" || m[1].Tags != nil {
		t.Errorf("heard %.200s", fmt.Sprint(m))
	}
}
