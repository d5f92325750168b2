package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// remote is what every command that calls a node has.
type remote struct {
	socket, token string
	asJSON        bool

	*client.Client
	out, err io.Writer
}

// remoteRun does a command's work with the node.
type remoteRun func(ctx context.Context, r *remote, args []string) error

// newRemote finishes a command that calls a node: its flags and what it does.
func newRemote(c *cobra.Command, do remoteRun) *cobra.Command {
	r := &remote{}
	c.Flags().StringVar(&r.socket, "socket", "", "the node's socket (default: where serve listens by default)")
	c.Flags().StringVar(&r.token, "token", "", "token to call with; the node's own user and root need none (default: $PYISOLATE_TOKEN)")
	c.Flags().BoolVar(&r.asJSON, "json", false, "print JSON, one object a line")
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		r.out, r.err = c.OutOrStdout(), c.ErrOrStderr()
		err := r.dial()
		if err == nil {
			err = do(ctx, r, args)
			r.Close()
		}
		return r.failed(ctx, err)
	}
	return c
}

func (r *remote) dial() (err error) {
	if r.socket == "" {
		if r.socket, err = defaultSocket(); err != nil {
			return err
		}
	}
	if r.token == "" {
		r.token = os.Getenv(tokenEnv)
	}
	r.Client, err = client.New(client.Config{Socket: r.socket, Token: r.token})
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
	}
	switch {
	case r.asJSON:
		r.line(map[string]any{"error": failureOf(err, problems, status)})
	case isDocument:
		_, _ = io.WriteString(r.err, plainLines(printedProblems(err, problems)))
	case errors.Is(err, fault.ErrUnavailable) && !answered(err):
		fmt.Fprintf(r.err, "pyisolate-node: %s; is it running? start one with: pyisolate-node serve\n", plainLines(err.Error()))
	default:
		fmt.Fprintln(r.err, "pyisolate-node:", plainLines(err.Error()))
	}
	return exitStatus(status)
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
	if len(problems) > 0 {
		out.Kind = cell.Invalid.String()
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
func (r *remote) line(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		data = []byte(fmt.Sprintf(`{"error":{"kind":"Unknown","message":%q}}`, err))
	}
	_, _ = r.out.Write(append(data, '\n'))
}

// show prints v with --json, and otherwise text.
func (r *remote) show(v any, format string, args ...any) {
	if r.asJSON {
		r.line(v)
		return
	}
	_, _ = fmt.Fprintf(r.out, format+"\n", args...)
}
