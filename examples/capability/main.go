// Command capability embeds PyIsolate and gives a cell an effect of the program's
// own: looking up a price. The guest's only way to it is request, the program
// decides which products each cell may see, and every request leaves a record.
//
//	go run ./examples/capability
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/effect"
	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
)

const program = `
for product in ("tea", "gold"):
    try:
        post({product: request("price", "get", {"product": product})})
    except Exception as error:
        post({product: type(error).__name__})
`

func main() {
	// A program that embeds cells is also their host, under this first argument.
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	if err := run(context.Background(), os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "capability:", err)
		os.Exit(1)
	}
}

// prices is the capability. A grant of it lists products: {"products": ["tea"]}.
type prices map[string]float64

// Scope reads what one grant says.
func (prices) Scope(_ capability.Identity, scope json.RawMessage) (any, error) {
	var s struct {
		Products []string `json:"products"`
	}
	err := capability.DecodeScope(scope, "products", &s)
	return s.Products, err
}

// Do answers one request.
func (p prices) Do(_ context.Context, call *capability.Call) (capability.Value, error) {
	var args struct {
		Product string `json:"product"`
	}
	if _, err := call.Arguments(&args); err != nil {
		return capability.Value{}, err
	}
	if call.Action != "get" {
		return capability.Value{}, call.UnknownAction("get")
	}
	call.SetTarget(args.Product)
	if granted, _ := call.Scope.([]string); !slices.Contains(granted, args.Product) {
		return capability.Value{}, capability.Denyf("price: products", "%s is not among the granted products", args.Product)
	}
	price, ok := p[args.Product]
	if !ok {
		return capability.Value{}, capability.Errorf(capability.NotFound, "there is no %s", args.Product)
	}
	return capability.JSONValue(price)
}

// sink answers the cell's requests through its session, and drops the rest.
type sink struct{ session *capability.Session }

func (sink) Log(cell.LogRecord) {}
func (sink) Metric(cell.Sample) {}
func (sink) Denied(cell.Denial) {}
func (s sink) Request(ctx context.Context, r cell.Request) (cell.Value, error) {
	return effect.Serve(ctx, s.session, r)
}

func run(ctx context.Context, out, evidence io.Writer) error {
	broker := capability.New(capability.Config{
		Recorder: capability.NewLogRecorder(slog.New(slog.NewTextHandler(evidence, nil)), 100)})
	defer func() { _ = broker.Close(ctx) }()
	if err := broker.Register("price", prices{"tea": 3.5, "gold": 2650}); err != nil {
		return err
	}
	grants, err := capability.ParseGrants([]string{"price=tea"})
	if err != nil {
		return err
	}
	session, err := broker.Open(capability.Identity{Tenant: "shop", Cell: "plugin"}, capability.Policy{Version: 1, Grants: grants})
	if err != nil {
		return err
	}
	defer session.Close()
	return runCell(ctx, sink{session}, out)
}

func runCell(ctx context.Context, s cell.Sink, out io.Writer) error {
	dist, err := pydist.Resolve(ctx, pydist.Options{Progress: pydist.TerminalProgress(os.Stderr)})
	if err != nil {
		return err
	}
	l, err := launch.New(launch.Config{Python: launch.Python{Home: dist.Home, Lib: dist.Lib, Stdlib: dist.Stdlib}})
	if err != nil {
		return err
	}
	defer func() { _ = l.Close(ctx) }()
	guest, err := l.Spawn(ctx, cell.Spec{Tenant: "shop", Name: "plugin", Sink: s})
	if err != nil {
		return err
	}
	if err := guest.Exec(ctx, cell.Source{Code: []byte(program), File: "plugin.py"}); err != nil {
		return err
	}
	if err := guest.Close(ctx); err != nil {
		return err
	}
	for {
		item, err := guest.Recv(ctx)
		if errors.Is(err, cell.CellGone) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", item.Value.Data); err != nil {
			return err
		}
	}
}
