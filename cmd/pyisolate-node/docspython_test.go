package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/node"
)

// claims are what a Python block says about itself, in the order of its lines.
type claims struct {
	flags    []string // of run
	receives []cell.Value
	said     map[string][]string // by verb: posts, prints, logs, measures
	raises   string              // "" when it runs to its end
	line     int                 // where it raises
}

var (
	flagsLine = regexp.MustCompile(`^# run with (.+)$`)
	claimed   = regexp.MustCompile(`# (posts|prints|logs|measures|receives|raises) (.+)$`)
)

func parseClaims(b block) (claims, error) {
	c := claims{said: map[string][]string{}}
	if m := flagsLine.FindStringSubmatch(b.lines[0]); m != nil {
		c.flags = strings.Fields(m[1])
	}
	for i, line := range b.lines {
		m := claimed.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if c.raises != "" {
			return c, fmt.Errorf("the block ends at line %d, where it raises; %q comes after it", c.line, m[0])
		}
		switch m[1] {
		case "raises":
			c.raises, c.line = m[2], i+1
		case "receives":
			v, err := parseValue(m[2])
			if err != nil {
				return c, err
			}
			c.receives = append(c.receives, v)
		default:
			c.said[m[1]] = append(c.said[m[1]], m[2])
		}
	}
	if len(c.said) == 0 && c.raises == "" {
		return c, errors.New("the block says nothing that a test can check; add # posts, # prints or # raises")
	}
	return c, nil
}

// parseValue reads JSON, or bytes as b"…".
func parseValue(text string) (cell.Value, error) {
	if quoted, isBytes := strings.CutPrefix(text, "b"); isBytes {
		raw, err := strconv.Unquote(quoted)
		return cell.BytesValue([]byte(raw)), err
	}
	v := cell.Value{Type: cell.JSON, Data: []byte(text)}
	return v, v.Decode(new(any))
}

// runPython runs a python block in a fresh cell of each backend and checks what its
// comments say.
func runPython(t *testing.T, p *page, b block) {
	t.Helper()
	if p.keep(t, b) {
		return
	}
	c, err := parseClaims(b)
	if err != nil {
		t.Fatalf("%s:%d: %v", b.page, b.line, err)
	}
	for _, backend := range []string{"subinterpreter", "process"} {
		said, err := runClaimed(t, p, b, append([]string{"--backend", backend}, c.flags...), c.receives)
		at := fmt.Sprintf("%s:%d: %s", b.page, b.line, backend)
		if diff := compareSaid(c.said, said); diff != "" {
			t.Errorf("%s: the page (-) and the cell (+) differ: %s", at, diff)
		}
		checkRaised(t, at, c, err)
	}
}

// runClaimed runs the block as `run` with these flags would, but sends the values
// first. It returns all that the guest said.
func runClaimed(t *testing.T, p *page, b block, flags []string, inbox []cell.Value) (map[string][]string, error) {
	t.Helper()
	o := parseRunFlags(t, flags)
	said := &recorder{said: map[string][]string{}}
	spec, err := o.spec(said)
	if err != nil {
		t.Fatalf("%s:%d: %v", b.page, b.line, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	guest, err := p.cells(t).Spawn(ctx, spec)
	if err != nil {
		t.Fatalf("%s:%d: %v", b.page, b.line, err)
	}
	for _, v := range inbox {
		if err := guest.Send(ctx, v); err != nil {
			t.Fatalf("%s:%d: send: %v", b.page, b.line, err)
		}
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		said.receive(guest)
	}()
	ran := guest.Exec(ctx, cell.Source{Code: []byte(b.text()), File: "<code>", Dialect: cell.Dialect(o.dialect)})
	if err := guest.Close(ctx); err != nil {
		t.Errorf("%s:%d: close: %v", b.page, b.line, err)
	}
	<-shown
	return said.said, ran
}

// cells returns the page's launcher.
func (p *page) cells(t *testing.T) *launch.Launcher {
	t.Helper()
	if p.launcher != nil {
		return p.launcher
	}
	l, err := launch.New(launch.Config{PoolSize: -1,
		Python: launch.Python{Home: p.python.Home, Lib: p.python.Lib, Stdlib: p.python.Stdlib, Preload: node.Preloads}})
	if err != nil {
		t.Fatal(err)
	}
	p.launcher = l
	return l
}

// parseRunFlags reads flags of run; those that need a file or a terminal are errors.
func parseRunFlags(t *testing.T, args []string) *runOptions {
	t.Helper()
	f := newRun().Flags()
	err := f.Parse(args)
	o := &runOptions{}
	str := func(name string) string { return f.Lookup(name).Value.String() }
	o.backend, o.dialect, o.imports, o.tenant = str("backend"), str("dialect"), str("allow-import"), str("tenant")
	set := func(name string, into interface{ Set(string) error }) {
		if f.Changed(name) {
			err = errors.Join(err, into.Set(str(name)))
		}
	}
	set("mem", &o.mem)
	set("output", &o.output)
	set("cpu", &o.cpu)
	wall, err1 := f.GetDuration("wall")
	children, err2 := f.GetInt("children")
	o.wall, o.children = wall, children
	for _, name := range []string{"code", "stdin", "python", "json", "stats", "files"} {
		if f.Changed(name) {
			err = errors.Join(err, fmt.Errorf("a block cannot run with --%s", name))
		}
	}
	if err := errors.Join(err, err1, err2, cell.Source{Dialect: cell.Dialect(o.dialect)}.Validate()); err != nil {
		t.Fatalf("run with %s: %v", args, err)
	}
	return o
}

// recorder is the sink of run, but keeps what is said by verb. Requests are answered
// as run answers them.
type recorder struct {
	printer
	mu   sync.Mutex
	said map[string][]string
}

func (r *recorder) say(verb, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said[verb] = append(r.said[verb], strings.TrimSpace(text))
}

func (r *recorder) Log(l cell.LogRecord) {
	if l.Level == "stdout" || l.Level == "stderr" {
		r.say("prints", l.Message)
		return
	}
	r.say("logs", fmt.Sprintf("%s: %s %s", l.Level, l.Message, l.Fields))
}

func (r *recorder) Metric(s cell.Sample) {
	text := fmt.Sprintf("%s=%g", s.Name, s.Value)
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		text += " " + key + "=" + s.Tags[key]
	}
	r.say("measures", text)
}

func (r *recorder) Denied(cell.Denial) {}

// receive takes the posts until the cell's end.
func (r *recorder) receive(guest cell.Cell) {
	for {
		item, err := guest.Recv(context.Background())
		if err != nil {
			return
		}
		if item.Err == nil {
			var text bytes.Buffer
			(&printer{out: &text, err: io.Discard}).post(item.Value)
			r.say("posts", text.String())
		}
	}
}

// compareSaid compares verb by verb, as the order between verbs varies. It has to be
// symmetric: … in what the guest says stands for anything as well.
func compareSaid(want, got map[string][]string) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b string) bool { return matches(a, b) || matches(b, a) }))
}

func checkRaised(t *testing.T, at string, c claims, err error) {
	t.Helper()
	if c.raises == "" {
		if err != nil {
			t.Errorf("%s: raised %v, which the page does not say", at, err)
		}
		return
	}
	e, ok := asCellError(err)
	if !ok {
		t.Errorf("%s: ended with %v, the page says it raises %s", at, err, c.raises)
		return
	}
	kind, message, full := strings.Cut(c.raises, ": ")
	if kind != e.Kind.String() && kind != e.Type || full && !matches(message, e.Message) {
		t.Errorf("%s: raised %s, type %s; the page says %s", at, e, e.Type, c.raises)
	}
	if where := fmt.Sprintf("line %d", c.line); !strings.Contains(e.Traceback+e.Message, where) {
		t.Errorf("%s: the page says it raises on %s; it did elsewhere:\n%s%s", at, where, e.Traceback, e)
	}
}

func TestParseClaims(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		want claims
		bad  bool
	}{
		"posts":     {"x = 1  # posts nothing yet\npost(2)  # posts 2", claims{said: map[string][]string{"posts": {"nothing yet", "2"}}}, false},
		"raises":    {"# run with --mem 8MiB\n1/0  # raises ZeroDivisionError", claims{flags: []string{"--mem", "8MiB"}, said: map[string][]string{}, raises: "ZeroDivisionError", line: 2}, false},
		"no claim":  {"x = 1  # a number", claims{}, true},
		"after end": {"1/0  # raises A\npost(1)  # posts 1", claims{}, true},
		"bad value": {"recv()  # receives {\npost(1)  # posts 1", claims{}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseClaims(block{lines: strings.Split(c.code, "\n")})
			if (err != nil) != c.bad {
				t.Fatalf("error %v, want one: %t", err, c.bad)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(claims{})); !c.bad && diff != "" {
				t.Error(diff)
			}
		})
	}
}
