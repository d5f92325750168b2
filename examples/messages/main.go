// Command messages embeds PyIsolate and lets cells talk to each other: one takes lines and
// sends words, the other counts what it gets. Either knows the other by name alone, may send
// to nobody else, and is started again when it crashes.
//
//	go run ./examples/messages < examples/data/gettysburg.txt
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

const splitter = `
import re
def split(lines):
    sent = 0
    for i in range(lines):
        for word in re.findall(r"[a-z']+", recv().lower()):
            request("send", "send", {"to": "counter", "value": word})
            sent += 1
    return sent
`

const counter = `
from collections import Counter
words = Counter()
def count(n):
    for i in range(n):
        words[recv()] += 1
def common():
    return words.most_common(3)
`

func main() {
	// A program that embeds cells is also their host, under this first argument.
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "messages:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) (failed error) {
	dist, err := pydist.Resolve(ctx, pydist.Options{Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	launcher, err := launch.New(launch.Config{Python: launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib}})
	if err != nil {
		return err
	}
	defer func() { failed = errors.Join(failed, launcher.Close(ctx)) }()
	system := actors.New(actors.Options{})
	broker := capability.New(capability.Config{})
	defer func() { failed = errors.Join(failed, system.Close(ctx), broker.Close(ctx)) }()
	if err := builtin.Register(broker, builtin.Config{Sender: system.Sender()}); err != nil {
		return err
	}
	n := node{launcher, broker, system}
	if err := n.spawn(ctx, "splitter", splitter, []string{"re"}, "send=counter"); err != nil {
		return err
	}
	if err := n.spawn(ctx, "counter", counter, []string{"collections"}); err != nil {
		return err
	}
	return n.feed(ctx, in, out)
}

// node is what cells need.
type node struct {
	launcher *launch.Launcher
	broker   *capability.Broker
	system   *actors.System
}

// spawn starts a cell as an actor, with what it may import and request.
func (n node) spawn(ctx context.Context, name, program string, imports []string, grants ...string) error {
	granted, err := capability.ParseGrants(grants)
	if err != nil {
		return err
	}
	at := address(name)
	start := func(ctx context.Context, _ uint64) (cell.Cell, error) {
		session, err := n.broker.Open(capability.Identity{Tenant: at.Tenant, Cell: at.Name}, capability.Policy{Grants: granted})
		if err != nil {
			return nil, err
		}
		guest, err := n.launcher.Spawn(ctx, cell.Spec{Tenant: at.Tenant, Name: at.Name, Imports: imports, Sink: sink{session}})
		if err != nil {
			session.Close()
			return nil, err
		}
		go func() { // the session is the incarnation's
			<-guest.Done()
			session.Close()
		}()
		return guest, guest.Exec(ctx, cell.Source{Code: []byte(program), File: name + ".py"})
	}
	return n.system.Spawn(ctx, at, actors.Plan{Start: start, Restart: actors.Restart{When: actors.OnFailure}})
}

func address(name string) actors.Address { return actors.Address{Tenant: "text", Name: name} }

// ask sends one envelope, which is worth a minute.
func (n node) ask(ctx context.Context, to string, body actors.Body) (cell.Value, error) {
	r := n.system.Ask(ctx, actors.Envelope{To: address(to), Deadline: time.Now().Add(time.Minute), Body: body})
	return r.Value, r.Err
}

func call(function string, argument int) actors.Call {
	return actors.Call{Invocation: cell.Invocation{Target: function, Args: fmt.Appendf(nil, "[%d]", argument)}}
}

// feed posts lines, has the cells work, and prints the most common words.
func (n node) feed(ctx context.Context, in io.Reader, out io.Writer) error {
	lines, words := 0, 0
	text := bufio.NewScanner(in)
	for ; text.Scan(); lines++ {
		line, err := cell.JSONValue(text.Text())
		if err != nil {
			return err
		}
		if _, err := n.ask(ctx, "splitter", actors.Post{Value: line}); err != nil {
			return err
		}
	}
	sent, err := n.ask(ctx, "splitter", call("split", lines))
	if err != nil {
		return err
	}
	if err := sent.Decode(&words); err != nil {
		return err
	}
	if _, err := n.ask(ctx, "counter", call("count", words)); err != nil {
		return err
	}
	common, err := n.ask(ctx, "counter", actors.Call{Invocation: cell.Invocation{Target: "common"}})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d words; the most common: %s\n", words, common.Data)
	return errors.Join(err, text.Err())
}

// sink answers the cell's requests through its session, and drops the rest.
type sink struct{ session *capability.Session }

func (sink) Log(cell.LogRecord) {}
func (sink) Metric(cell.Sample) {}
func (sink) Denied(cell.Denial) {}
func (s sink) Request(ctx context.Context, r cell.Request) (cell.Value, error) {
	return effect.Serve(ctx, s.session, r)
}
