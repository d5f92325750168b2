package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// remote is what every command that calls a node has.
type remote struct {
	serverFlags
	asJSON bool

	*client.Client
	address  string    // of the node
	in       io.Reader // what it reads when it is told to by -
	out, err io.Writer
	raw      bool // what guests say is shown as it is
	// interrupt is what it means that the command is interrupted while the node is asked.
	interrupt string
}

// Of what changes nothing there is nothing to say.
const (
	mayBeDone    = "what it was to do may be done nevertheless"
	onlyRead     = ""
	stopsProgram = "so is what it ran in the cell; the cell goes on"
)

// remoteRun does a command's work with the node.
type remoteRun func(ctx context.Context, r *remote, args []string) error

// newRemote finishes a command that calls a node: its flags and what it does.
func newRemote(c *cobra.Command, do remoteRun) *cobra.Command {
	r := &remote{interrupt: mayBeDone}
	r.add(c)
	return finish(c, r, func(ctx context.Context, r *remote, args []string) error {
		if err := r.dial(); err != nil {
			return err
		}
		defer r.Close()
		return do(ctx, r, args)
	})
}

// newLocal finishes a command that works on this machine's files, which tells what it did, or why it could not,
// as those tell that call a node.
func newLocal(c *cobra.Command, do remoteRun) *cobra.Command { return finish(c, &remote{}, do) }

func finish(c *cobra.Command, r *remote, do remoteRun) *cobra.Command {
	c.Flags().BoolVar(&r.asJSON, "json", false, "print JSON, one object per line")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := interruptible(c.Context())
		defer stop()
		working, out := newOutput(ctx, c.OutOrStdout())
		r.in, r.out, r.err = &input{ctx, c.InOrStdin()}, out, c.ErrOrStderr()
		err := do(working, r, args)
		if out.failure() == nil {
			err = r.failed(ctx, err)
		}
		return out.checked(err, r.err)
	}
	return c
}

func (r *remote) dial() error {
	config, err := r.client()
	if err != nil {
		return err
	}
	r.address = config.Address
	r.Client, err = client.New(config)
	return err
}

// failed shows an error as the command's flags have it.
func (r *remote) failed(ctx context.Context, err error) error {
	var silent exitStatus
	if err == nil || errors.As(err, &silent) {
		return err
	}
	var problems document.Problems
	isDocument := errors.As(err, &problems)
	status := statusOf(err)
	if isDocument {
		status = statusUsage
	}
	if ctx.Err() != nil {
		status = statusInterrupt
		err = r.interrupted(err)
	}
	switch {
	case r.asJSON:
		out := failureOf(err, problems, status)
		if out.Hint == "" && !answered(err) {
			out.Hint = r.unreachable(err)
		}
		r.line(map[string]any{"error": out})
	case isDocument:
		_, _ = io.WriteString(r.err, plainLines(printedProblems(err, problems)))
	case !answered(err) && r.unreachable(err) != "":
		fmt.Fprintln(r.err, "pyisolate-node:", plainLines(r.unreachable(err)))
	default:
		fmt.Fprintln(r.err, "pyisolate-node:", plainLines(err.Error()))
	}
	return exitStatus(status)
}

// interrupted says what an interrupt means in place of an error that it has made.
func (r *remote) interrupted(err error) error {
	switch {
	case !errors.Is(err, context.Canceled):
		return err
	case cell.KindOf(err) != cell.Cancelled || r.interrupt == onlyRead: // nothing was asked yet
		return errInterrupted
	}
	return fmt.Errorf("%w: %s", errInterrupted, r.interrupt)
}

// unreachable says in words of a user's why no node has answered, and what to do; "" where
// that is not the fault.
func (r *remote) unreachable(err error) string {
	path, local := strings.CutPrefix(r.address, "unix://")
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return fmt.Sprintf("the server at %s cannot be trusted: %v; name the file of its certificate authority with --ca", r.address, certificate.Err)
	case !errors.Is(err, fault.ErrUnavailable):
		return ""
	case !local:
		var dialled *net.OpError
		if errors.As(err, &dialled) {
			err = dialled.Err
		}
		return fmt.Sprintf("no node answers at %s: %v; is the address right, and the node running? See: pyisolate-node context ls", r.address, err)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("no node is running at %s; start one with: pyisolate-node serve%s", path, r.serveFlag(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("you may not connect to %s: its node lets others in with serve --socket-mode 0666, and a token", path)
	}
	return err.Error()
}

// serveFlag is what serve needs to listen on a socket.
func (r *remote) serveFlag(path string) string {
	if usual, err := defaultSocket(); err == nil && usual == path {
		return ""
	}
	return " --socket " + path
}

// answered tells whether an error is a node's.
func answered(err error) bool {
	var sent *fault.Error
	return errors.As(err, &sent)
}

// printedProblems are as compilers print them: by the node, if they come from there.
func printedProblems(err error, problems document.Problems) (text string) {
	var sent *fault.Error
	if !errors.As(err, &sent) {
		return problems.Text()
	}
	for _, p := range sent.Problems {
		text += p.GetText()
	}
	return text
}

type failureJSON struct {
	Kind     string            `json:"kind"`
	Message  string            `json:"message"`
	Hint     string            `json:"hint,omitempty"`
	Problems document.Problems `json:"problems,omitempty"`
	// Of a guest's exception.
	Type      string `json:"type,omitempty"`
	Traceback string `json:"traceback,omitempty"`
	Status    int    `json:"exit_status"`
}

func failureOf(err error, problems document.Problems, status int) failureJSON {
	out := failureJSON{Kind: cell.KindOf(err).String(), Message: err.Error(), Problems: problems, Status: status}
	var usage usageError
	switch {
	case len(problems) > 0, errors.As(err, &usage):
		out.Kind = cell.Invalid.String()
	case errors.Is(err, fault.ErrUnavailable):
		out.Kind = "Unavailable"
	case errors.Is(err, errInterrupted):
		out.Kind = cell.Cancelled.String()
	}
	var sent *fault.Error
	if errors.As(err, &sent) {
		out.Kind, out.Message, out.Hint = sent.Kind, sent.Message, sent.Hint
	}
	if e, ok := asCellError(err); ok {
		out.Type, out.Traceback = e.Type, e.Traceback
	}
	return out
}

// line prints v as JSON.
func (r *remote) line(v any) { writeLine(r.out, v) }

func writeLine(out io.Writer, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte(fmt.Sprintf(`{"error":{"kind":"Unknown","message":%q}}`, err))
	}
	_, _ = out.Write(append(printable(data), '\n'))
}

// list prints a row for each of all, tabs between its columns, below a head if there are any; or with
// --json each as a line.
func list[T, J any](r *remote, head string, all []T, asJSON func(T) J, row func(T) string) {
	table := tabwriter.NewWriter(r.out, 0, 8, 2, ' ', 0)
	defer func() { _ = table.Flush() }()
	if !r.asJSON && len(all) > 0 {
		_, _ = fmt.Fprintln(table, head)
	}
	for _, one := range all {
		if r.asJSON {
			r.line(asJSON(one))
			continue
		}
		_, _ = fmt.Fprintln(table, row(one))
	}
}

// rawUsage is of the commands that show what guests say.
const rawUsage = "print what the guest says unchanged, including what would control a terminal"

// guest is how what a guest says is shown: what it says beside its posts goes to said. Nothing of
// it moves the cursor; where its posts are no people's to see, they are as they are.
func (r *remote) guest(said io.Writer) *printer {
	return &printer{out: r.out, err: said, asJSON: r.asJSON, escapes: !r.raw, escapesPosts: !r.raw && isTerminal(r.out)}
}

// show prints v with --json, and otherwise text.
func (r *remote) show(v any, format string, args ...any) {
	if r.asJSON {
		r.line(v)
		return
	}
	_, _ = fmt.Fprintf(r.out, format+"\n", args...)
}
