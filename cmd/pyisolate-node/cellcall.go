package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// jsonOrText is a word of the command line as JSON: what is no JSON is text.
func jsonOrText(word string) json.RawMessage {
	if json.Valid([]byte(word)) {
		return json.RawMessage(word)
	}
	text, _ := json.Marshal(word) // a string always can be
	return text
}

func newCellCall() *cobra.Command {
	var kwargs string
	var raw bool
	var within time.Duration
	var again againFlag
	c := &cobra.Command{
		Use:   "call [TENANT/]CELL TARGET [ARG...]",
		Short: "Call a function in a cell, and print its result",
		Long: `Call a function in a cell and print its result, as run prints posts. TARGET is a dotted
name in the cell's __main__, or in a module that its policy permits. An ARG is JSON, or else
text.`,
		Example: "  pyisolate-node cell call crawler math.hypot 3 4\n  pyisolate-node cell call crawler greet --kwargs '{\"name\": \"world\"}'",
		Args:    cobra.MinimumNArgs(2),
	}
	c.Flags().StringVar(&kwargs, "kwargs", "", "keyword arguments, a JSON object")
	c.Flags().BoolVar(&raw, "raw", false, rawUsage)
	c.Flags().DurationVar(&within, "within", 0, "interrupt the call after this time, such as 30s (default: never)")
	again.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		r.raw, r.interrupt = raw, stopsProgram
		if err := validKwargs(kwargs); err != nil {
			return err
		}
		list := []json.RawMessage{}
		for _, word := range args[2:] {
			list = append(list, jsonOrText(word))
		}
		encoded, err := json.Marshal(list)
		if err != nil {
			return usageError{err}
		}
		ctx, cancel, err := bounded(ctx, within)
		if err != nil {
			return err
		}
		defer cancel()
		answer, err := r.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Tenant: tenant, Name: name, Target: args[1], Args: string(encoded), Kwargs: kwargs,
			RequestId: again.id(), Acknowledged: again.wanted}))
		if err != nil {
			return r.raised(err)
		}
		r.value(valueOf(answer.Msg.GetValue()))
		return nil
	})
}

// validKwargs refuses what the guest would be told of, as if it had been its fault.
func validKwargs(text string) error {
	var named map[string]json.RawMessage
	if text != "" && (json.Unmarshal([]byte(text), &named) != nil || named == nil) {
		return usageError{errors.New(`--kwargs: write a JSON object, as {"name": "world"}`)}
	}
	return nil
}

// value prints what a guest gave.
func (r *remote) value(v cell.Value) {
	r.guest(r.err).post(v)
}

// valueArgument is a value of the command line: JSON or text, or bytes from standard input.
func valueArgument(words []string, raw bool, stdin io.Reader) (*pb.Value, error) {
	switch {
	case raw && len(words) == 0:
		data, err := io.ReadAll(io.LimitReader(stdin, maxSource+1))
		if err == nil && len(data) > maxSource {
			err = fmt.Errorf("it has more than %d MiB", maxSource>>20)
		}
		if err != nil {
			return nil, usageError{fmt.Errorf("read the value from standard input: %w", err)}
		}
		return &pb.Value{Kind: &pb.Value_Raw{Raw: data}}, nil
	case raw:
		return nil, usageError{errors.New("--raw sends standard input: leave the VALUE out")}
	case len(words) == 0:
		return nil, usageError{errors.New("name a VALUE: JSON, or text; or send standard input with --raw")}
	}
	return &pb.Value{Kind: &pb.Value_Json{Json: string(jsonOrText(words[0]))}}, nil
}

func newCellSend() *cobra.Command {
	var raw bool
	var again againFlag
	c := &cobra.Command{
		Use:     "send [TENANT/]CELL VALUE",
		Short:   "Put a value into a cell's inbox, where its program takes it with recv()",
		Long:    "Put a value into a cell's inbox, where its program takes it with recv(). VALUE is JSON, or\nelse text. With --raw the value is standard input, as bytes.",
		Example: "  pyisolate-node cell send crawler '{\"url\": \"https://example.com\"}'\n  pyisolate-node cell send crawler --raw <page.html",
		Args:    cobra.RangeArgs(1, 2),
	}
	c.Flags().BoolVar(&raw, "raw", false, "send standard input, as bytes, instead of VALUE")
	again.add(c)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		value, err := valueArgument(args[1:], raw, r.in)
		if err != nil {
			return err
		}
		answer, err := r.Cells.Send(ctx, connect.NewRequest(&pb.SendRequest{Tenant: tenant, Name: name, Value: value,
			RequestId: again.id(), Acknowledged: again.wanted}))
		if err == nil && r.asJSON {
			r.line(map[string]any{"epoch": answer.Msg.GetEpoch()})
		}
		return err
	})
}

// refusalJSON is a cell that did not take a message.
type refusalJSON struct {
	Tenant  string `json:"tenant"`
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Message string `json:"message"`
}

func newCellPublish() *cobra.Command {
	var tenant string
	var raw bool
	c := &cobra.Command{
		Use:     "publish TOPIC VALUE",
		Short:   "Send a value to all cells of a tenant that have a topic",
		Example: "  pyisolate-node cell publish prices '{\"EUR\": 1.08}' --tenant shop",
		Args:    cobra.RangeArgs(1, 2),
	}
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant (default: the caller's, or default)")
	c.Flags().BoolVar(&raw, "raw", false, "send standard input, as bytes, instead of VALUE")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		value, err := valueArgument(args[1:], raw, r.in)
		if err != nil {
			return err
		}
		answer, err := r.Cells.Publish(ctx, connect.NewRequest(&pb.PublishRequest{Tenant: tenant, Topic: args[0], Value: value}))
		if err != nil {
			return err
		}
		refused := []refusalJSON{}
		for _, one := range answer.Msg.GetRefused() {
			refused = append(refused, refusalJSON{one.GetCell().GetTenant(), one.GetCell().GetName(), one.GetError().GetKind(), one.GetError().GetMessage()})
			if !r.asJSON {
				fmt.Fprintf(r.err, "%s/%s did not take it: %s\n", one.GetCell().GetTenant(), one.GetCell().GetName(), plain(one.GetError().GetMessage()))
			}
		}
		r.show(map[string]any{"delivered": answer.Msg.GetDelivered(), "refused": refused}, "delivered to %d cells", answer.Msg.GetDelivered())
		return nil
	})
}

func newCellLogs() *cobra.Command {
	var follow, raw bool
	c := &cobra.Command{
		Use:   "logs [TENANT/]CELL",
		Short: "Print a cell's logs, prints, metrics and denials",
		Long: `Print a cell's logs, prints, metrics and denials, from the oldest that the node has kept.
Others who read them get them, too. What would control a terminal is escaped. A line that the
cell prints can look like any other line, except with --json.`,
		Args: cobra.ExactArgs(1),
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "print new ones, too, until the cell ends")
	c.Flags().BoolVar(&raw, "raw", false, rawUsage)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		items, err := r.Cells.Logs(ctx, connect.NewRequest(&pb.LogsRequest{Tenant: tenant, Name: name, Follow: follow}))
		if err != nil {
			return err
		}
		defer func() { _ = items.Close() }()
		r.raw, r.interrupt = raw, onlyRead
		p := r.guest(r.out) // here it is what was asked for
		for items.Receive() {
			p.said(items.Msg())
		}
		return items.Err()
	})
}

// said shows one thing that a cell said as received does.
func (p *printer) said(m *pb.LogsResponse) {
	out := &pb.StreamResponse{}
	switch item := m.GetItem().(type) {
	case *pb.LogsResponse_Log:
		out.Item = &pb.StreamResponse_Log{Log: item.Log}
	case *pb.LogsResponse_Metric:
		out.Item = &pb.StreamResponse_Metric{Metric: item.Metric}
	case *pb.LogsResponse_Denial:
		out.Item = &pb.StreamResponse_Denial{Denial: item.Denial}
	case *pb.LogsResponse_Lost:
		out.Item = &pb.StreamResponse_Lost{Lost: item.Lost}
	}
	p.received(out)
}

func newCellQuarantine() *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "quarantine [TENANT/]CELL", Short: "Interrupt a cell, and let nothing more run in it", Args: cobra.ExactArgs(1),
		Long: "Interrupt a cell's program, and let nothing more run in the cell. You can still inspect it and\nreceive its posts. kill or close ends it."}
	c.Flags().StringVar(&reason, "reason", "", "why; the cell's report shows it")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		_, err := r.Cells.Quarantine(ctx, connect.NewRequest(&pb.QuarantineRequest{Tenant: tenant, Name: name, Reason: reason}))
		return err
	})
}

func newCellClose() *cobra.Command {
	var within time.Duration
	c := &cobra.Command{Use: "close [TENANT/]CELL", Short: "Interrupt what is running in a cell, end it, and free its name", Args: cobra.ExactArgs(1),
		Long: "Interrupt what is running in a cell, end the cell, and free its name. The node forgets the\ncell. The command waits for that, at most for the time of --within."}
	c.Flags().DurationVar(&within, "within", 10*time.Second, "how long to wait for the cell to end")
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		tenant, name := cellName(args[0])
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		_, err := r.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Tenant: tenant, Name: name}))
		return err
	})
}

// statsJSON is what cells have and have used, as --json prints it.
type statsJSON struct {
	States     map[string]uint32 `json:"states"`
	CPU        time.Duration     `json:"cpu_ns"`
	Memory     int64             `json:"memory"`
	Output     int64             `json:"output"`
	Posts      uint64            `json:"posts"`
	Logs       uint64            `json:"logs"`
	Denials    uint64            `json:"denials"`
	Warm       uint32            `json:"warm"`
	WarmHits   uint64            `json:"warm_hits"`
	WarmMisses uint64            `json:"warm_misses"`
	Silent     []string          `json:"silent,omitempty"` // nodes that have not answered
}

func newCellStats() *cobra.Command {
	c := &cobra.Command{Use: "stats [TENANT]", Short: "Add up what the cells of all nodes have and have used", Args: cobra.MaximumNArgs(1)}
	request := &pb.StatsRequest{}
	addNodeFlag(c, &request.Node)
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		if len(args) > 0 {
			request.Tenant = args[0]
		}
		answer, err := r.Cells.Stats(ctx, connect.NewRequest(request))
		if err != nil {
			return err
		}
		m := answer.Msg
		out := statsJSON{States: m.GetStates(), CPU: m.GetCpu().AsDuration(), Memory: m.GetMemory(), Output: m.GetOutput(), Posts: m.GetPosts(),
			Logs: m.GetLogs(), Denials: m.GetDenials(), Warm: m.GetWarm(), WarmHits: m.GetWarmHits(), WarmMisses: m.GetWarmMisses(), Silent: m.GetSilent()}
		r.show(out, "cells: %s\ncpu %s, memory %.1f MiB, output %d bytes, posts %d, logs %d, denials %d\nwarm cells %d; spawns that found one %d, that did not %d",
			statesOf(out.States), out.CPU.Round(time.Millisecond), float64(out.Memory)/(1<<20), out.Output, out.Posts, out.Logs, out.Denials,
			out.Warm, out.WarmHits, out.WarmMisses)
		r.silent(m.GetSilent())
		return nil
	})
}
