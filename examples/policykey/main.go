// Command policykey embeds PyIsolate and adds a key to its policies, with enforcement of its
// own: x-redact lists expressions, and what fits one is taken out of all that a guest logs
// before anybody sees it.
//
//	go run ./examples/policykey
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/policystore/document"
)

const policy = `version: 1.0
sandboxes:
  support:
    imports: [json]
    wall: 10s
    x-redact: ["[0-9]{16}", "sk-[a-z0-9]+"]
`

const program = `
log("info", "paid with 4111111111111111, key sk-51h2")
log("info", "nothing to hide")
`

func main() {
	// A program that embeds cells is also their host, under this first argument.
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "policykey:", err)
		os.Exit(1)
	}
}

// redact is the key. Its value is decoded to []*regexp.Regexp.
type redact struct{}

// Name is how documents write it, behind x-.
func (redact) Name() string { return "redact" }

// Decode is called when a sandbox is compiled: its error has the line of the document.
func (redact) Decode(value json.RawMessage) (any, error) {
	var texts []string
	if err := json.Unmarshal(value, &texts); err != nil {
		return nil, fmt.Errorf("it is a list of expressions: %w", err)
	}
	expressions := make([]*regexp.Regexp, len(texts))
	for i, text := range texts {
		var err error
		if expressions[i], err = regexp.Compile(text); err != nil {
			return nil, err
		}
	}
	return expressions, nil
}

// Schema is for editors.
func (redact) Schema() json.RawMessage {
	return json.RawMessage(`{"type": "array", "items": {"type": "string", "format": "regex"}}`)
}

// Enforce puts a sink before the cell's own.
func (redact) Enforce(value any, s *cell.Spec) error {
	s.Sink = redactor{s.Sink, value.([]*regexp.Regexp)}
	return nil
}

type redactor struct {
	cell.Sink
	expressions []*regexp.Regexp
}

// Log takes out of a record what the policy says.
func (r redactor) Log(record cell.LogRecord) {
	for _, e := range r.expressions {
		record.Message = e.ReplaceAllString(record.Message, "[redacted]")
		record.Fields = e.ReplaceAll(record.Fields, []byte("[redacted]"))
	}
	r.Sink.Log(record)
}

// printer shows what is logged, and refuses requests.
type printer struct{ out io.Writer }

func (p printer) Log(r cell.LogRecord) { fmt.Fprintf(p.out, "%s: %s\n", r.Level, r.Message) }
func (printer) Metric(cell.Sample)     {}
func (printer) Denied(cell.Denial)     {}
func (printer) Request(_ context.Context, r cell.Request) (cell.Value, error) {
	return cell.Value{}, cell.Errorf(cell.PolicyDenied, "capability %q is not granted", r.Capability)
}

// compile reads a document and compiles its only sandbox with the key.
func compile(text string) (*document.Compiled, error) {
	keys, err := document.NewKeys(redact{})
	if err != nil {
		return nil, err
	}
	d, err := document.Parse("support.yml", []byte(text))
	if err != nil {
		return nil, err
	}
	return d.Compile("", document.Options{Keys: keys})
}

func run(ctx context.Context, out io.Writer) error {
	compiled, err := compile(policy)
	if err != nil {
		return err
	}
	spec := cell.Spec{Tenant: "shop", Name: "support", Sink: printer{out}}
	if err := compiled.Apply(&spec); err != nil {
		return err
	}
	dist, err := pydist.Resolve(ctx, pydist.Options{Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	l, err := launch.New(launch.Config{Python: launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib}})
	if err != nil {
		return err
	}
	defer func() { _ = l.Close(ctx) }()
	guest, err := l.Spawn(ctx, spec)
	if err != nil {
		return err
	}
	if err := guest.Exec(ctx, cell.Source{Code: []byte(program), File: "support.py"}); err != nil {
		return err
	}
	return guest.Close(ctx)
}
