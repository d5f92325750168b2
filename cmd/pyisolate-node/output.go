package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
)

// printer is the sink of run: posts go to out, everything else to err; with
// --json all goes to out, one object a line.
type printer struct {
	mu     sync.Mutex
	out    io.Writer
	err    io.Writer
	asJSON bool
	// escapes says that what a guest says beside its posts is shown by plain, and escapesPosts
	// that they are, too.
	escapes, escapesPosts bool
	// effects are what the program may request; nil when that is nothing.
	effects *effects
}

// event is one line of --json output.
type event struct {
	Type   string          `json:"type"`
	Value  any             `json:"value,omitempty"`
	Bytes  []byte          `json:"bytes,omitempty"`
	Log    *cell.LogRecord `json:"log,omitempty"`
	Denial *cell.Denial    `json:"denial,omitempty"`
	Metric *cell.Sample    `json:"metric,omitempty"`
	Error  *errorEvent     `json:"error,omitempty"`
	Stats  *statistics     `json:"stats,omitempty"`
}

type errorEvent struct {
	Kind      string `json:"kind"`
	Message   string `json:"message"`
	Type      string `json:"type,omitempty"`
	Traceback string `json:"traceback,omitempty"`
	Status    int    `json:"exit_status"`
}

type statistics struct {
	cell.Report
	Spawn time.Duration `json:"spawn_ns"`
	Run   time.Duration `json:"run_ns"`
}

func (p *printer) line(e event) {
	data, err := json.Marshal(e)
	if err != nil {
		data = []byte(fmt.Sprintf(`{"type":"error","error":{"kind":"Unknown","message":%q}}`, err))
	}
	_, _ = p.out.Write(append(printable(data), '\n'))
}

// post shows one posted value. A str is shown as its text, other JSON as JSON.
func (p *printer) post(v cell.Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		e := event{Type: "post"}
		if v.Type == cell.Bytes {
			e.Bytes = v.Data
		} else {
			e.Value = json.RawMessage(v.Data)
		}
		p.line(e)
		return
	}
	data := v.Data
	var text string
	if v.Type == cell.JSON && len(data) > 0 && data[0] == '"' && json.Unmarshal(data, &text) == nil {
		data = []byte(text)
	}
	if p.escapesPosts {
		data = []byte(plainLines(string(data)))
	}
	if v.Type == cell.JSON {
		data = append(data, '\n')
	}
	_, _ = p.out.Write(data)
}

// Log implements cell.Sink.
func (p *printer) Log(r cell.LogRecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.asJSON:
		p.line(event{Type: "log", Log: &r})
	case r.Level == "stdout" || r.Level == "stderr":
		_, _ = fmt.Fprintln(p.err, p.printed(r.Message))
	case len(r.Fields) > 0:
		_, _ = fmt.Fprintf(p.err, "%s: %s %s\n", p.word(r.Level), p.word(r.Message), printable(r.Fields))
	default:
		_, _ = fmt.Fprintf(p.err, "%s: %s\n", p.word(r.Level), p.word(r.Message))
	}
}

// Metric implements cell.Sink.
func (p *printer) Metric(s cell.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		p.line(event{Type: "metric", Metric: &s})
		return
	}
	_, _ = fmt.Fprintf(p.err, "metric: %s=%g\n", p.word(s.Name), s.Value)
}

// Denied implements cell.Sink.
func (p *printer) Denied(d cell.Denial) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		p.line(event{Type: "denial", Denial: &d})
		return
	}
	_, _ = fmt.Fprintf(p.err, "denied: %s: %s\n", plain(d.Capability), plain(d.Action))
}

// word is a guest's text on a line of ours.
func (p *printer) word(s string) string {
	if p.escapes {
		return plain(s)
	}
	return s
}

// printed is one line that a guest has printed.
func (p *printer) printed(s string) string {
	if p.escapes {
		return plainLine(s)
	}
	return s
}

// text is a guest's on lines of its own.
func (p *printer) text(s string) string {
	if p.escapes {
		return plainLines(s)
	}
	return s
}

// printable is the same JSON without what moves a terminal's cursor, or turns text around.
func printable(data []byte) []byte {
	text := string(data)
	if strings.IndexFunc(text, isUnprintable) < 0 {
		return data
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !isUnprintable(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, "\\u%04x\\u%04x", high, low)
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return []byte(b.String())
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }

// plain is text of a guest's on a line of our own: what would end the line or move the cursor
// is escaped.
func plain(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, isUnprintable) < 0 {
		return s
	}
	q := strconv.Quote(s)
	return q[1 : len(q)-1]
}

// plainLines is plain for each line of a text, whose tabs stay.
func plainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = plainLine(line)
	}
	return strings.Join(lines, "\n")
}

// plainLine is plain for a line whose tabs stay.
func plainLine(line string) string {
	parts := strings.Split(line, "\t")
	for i, part := range parts {
		parts[i] = plain(part)
	}
	return strings.Join(parts, "\t")
}

// Request implements cell.Sink.
func (p *printer) Request(ctx context.Context, r cell.Request) (cell.Value, error) {
	if p.effects != nil {
		return effect.Serve(ctx, p.effects.session, r)
	}
	return cell.Value{}, cell.Errorf(cell.PolicyDenied, "capability %q is not granted to this cell", r.Capability)
}

func (p *printer) failure(err error, status int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := errorEvent{Kind: cell.KindOf(err).String(), Message: err.Error(), Status: status}
	if c, ok := asCellError(err); ok {
		e.Message, e.Type, e.Traceback = c.Message, c.Type, c.Traceback
	}
	switch {
	case p.asJSON:
		p.line(event{Type: "error", Error: &e})
	case e.Kind == cell.GuestError.String():
		_, _ = io.WriteString(p.err, p.text(e.Traceback))
	default:
		_, _ = fmt.Fprintf(p.err, "%s%s\n", p.text(e.Traceback), p.word(err.Error()))
	}
}

// layers names those that are active, and those that are not.
func layers(c cell.Confinement) string {
	var on, off []string
	for _, l := range c.Layers {
		if l.Active {
			on = append(on, l.Name)
		} else {
			off = append(off, l.Name)
		}
	}
	return fmt.Sprintf("%s; without %s (mode %s)", cmp.Or(strings.Join(on, ", "), "nothing"), cmp.Or(strings.Join(off, ", "), "nothing"), c.Mode)
}

func (p *printer) stats(s statistics) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		p.line(event{Type: "stats", Stats: &s})
		return
	}
	if s.Confinement != nil {
		_, _ = fmt.Fprintf(p.err, "confined by %s\n", layers(*s.Confinement))
		for _, words := range s.Confinement.Unheld {
			_, _ = fmt.Fprintf(p.err, "not held: %s\n", words)
		}
	}
	_, _ = fmt.Fprintf(p.err, "backend %s, spawn %s, run %s, cpu %s, memory peak %.1f MiB, posts %d, logs %d, denials %d\n",
		s.Backend, s.Spawn.Round(10*time.Microsecond), s.Run.Round(10*time.Microsecond), s.CPU.Round(10*time.Microsecond),
		float64(s.MemoryPeak)/(1<<20), s.Posts, s.Logs, s.Denials)
}
