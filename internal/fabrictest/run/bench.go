package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/fabrictest"
)

// fast is a policy of cells that are measured.
var fast = strings.NewReplacer("[math]", "[time]", "c3]", "c3], rps: 1000000").Replace(talk)

// measure takes samples of a cluster that has formed.
type measure func(context.Context, *fabrictest.Fabric) ([]float64, error)

// row is one measurement.
type row struct {
	name, unit string
	// quantile that the bar is for, which is 0 where there is none; more: the larger the better.
	quantile float64
	bar      float64
	more     bool
	measure  measure
	// peer is what against measures: what the median is compared with, if there is anything.
	peer    string
	against func(context.Context) ([]float64, error)
}

// rows in the order they run: those that disturb come last.
var rows = []row{
	{name: "cluster.form", unit: "s", quantile: 1, bar: 3, measure: form},
	{name: "policy.commit", unit: "ms", quantile: 0.5, bar: 3, measure: commit, peer: "raft", against: bareRaft},
	{name: "policy.enforced", unit: "ms", quantile: 0.99, bar: 50, measure: withCells(enforced)},
	{name: "call.far", unit: "us", measure: withCells(callFar)},
	{name: "guest.far", unit: "us", quantile: 0.5, bar: 350, measure: withCells(guestFar), peer: "TLS", against: bareTLS},
	{name: "guest.batch", unit: "msg/s", quantile: 0.5, bar: 30000, more: true, measure: withCells(guestBatch)},
	{name: "guest.flood", unit: "msg/s", more: true, measure: withCells(guestFlood)},
	{name: "migrate.1m", unit: "ms", quantile: 0.5, bar: 60, measure: migrated(1<<20, 30)},
	{name: "migrate.100m", unit: "ms", quantile: 0.5, bar: 1000, measure: migrated(100<<20, 5)},
	{name: "drain.200", unit: "s", quantile: 1, bar: 10, measure: drain},
	{name: "leader.failover", unit: "s", quantile: 1, bar: 1.5, measure: failover},
	{name: "death.noticed", unit: "s", quantile: 1, bar: 3, measure: death},
}

// bench measures the rows of these names, and before them that the cluster forms; without names it measures all.
func bench(ctx context.Context, f *fabrictest.Fabric, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(rows, func(r row) bool { return r.name == name }) {
			return fmt.Errorf("there is no row %q", name)
		}
	}
	fmt.Printf("%-16s %10s %10s %10s %8s %-6s %-22s %s\n", "row", "p50", "p99", "max", "samples", "unit", "peer", "bar")
	var missed, failed []error
	for _, r := range rows {
		if len(names) > 0 && r.name != "cluster.form" && !slices.Contains(names, r.name) {
			continue
		}
		short, err := r.run(ctx, f)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", r.name, err))
			fmt.Printf("%-16s failed: %v\n", r.name, err)
			if r.name == "cluster.form" {
				break // there is nothing to measure the others on
			}
		}
		missed = append(missed, short)
	}
	if *strict {
		failed = append(failed, missed...)
	}
	return errors.Join(failed...)
}

// run measures a row and prints its line; missed says how its bar was.
func (r row) run(ctx context.Context, f *fabrictest.Fabric) (missed, err error) {
	samples, err := r.measure(ctx, f)
	if err != nil {
		return nil, err
	}
	if len(samples) == 0 {
		return nil, errors.New("there are no samples")
	}
	slices.Sort(samples)
	peer, err := r.compare(ctx, at(samples, 0.5))
	if err != nil {
		return nil, fmt.Errorf("measure %s: %w", r.peer, err)
	}
	reached, bar := r.verdict(at(samples, r.quantile))
	fmt.Printf("%-16s %10.4g %10.4g %10.4g %8d %-6s %-22s %s\n",
		r.name, at(samples, 0.5), at(samples, 0.99), at(samples, 1), len(samples), r.unit, peer, bar)
	if !reached {
		missed = fmt.Errorf("%s: %.4g %s", r.name, at(samples, r.quantile), r.unit)
	}
	return missed, nil
}

// compare says how long the peer takes, and how many times better than that the row is.
func (r row) compare(ctx context.Context, p50 float64) (string, error) {
	if r.against == nil {
		return "-", nil
	}
	samples, err := r.against(ctx)
	if err != nil {
		return "", err
	}
	slices.Sort(samples)
	peer := at(samples, 0.5)
	return fmt.Sprintf("%s %.4g (%.2gx)", r.peer, peer, peer/p50), nil
}

// verdict says whether a figure reaches the bar, and how many times better than that it is.
func (r row) verdict(figure float64) (reached bool, words string) {
	if r.bar == 0 {
		return true, "-"
	}
	times, sign, word := r.bar/figure, "<=", "met"
	if r.more {
		times, sign = figure/r.bar, ">="
	}
	if times < 1 {
		word = "missed"
	}
	return times >= 1, fmt.Sprintf("%s (%.2gx): p%g %s %g", word, times, r.quantile*100, sign, r.bar)
}

// at is a quantile of sorted samples.
func at(sorted []float64, q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }

func form(ctx context.Context, f *fabrictest.Fabric) ([]float64, error) {
	began := time.Now()
	if err := f.Form(ctx); err != nil {
		return nil, err
	}
	return []float64{time.Since(began).Seconds()}, nil
}

func put(ctx context.Context, n *fabrictest.Node, name, text string) (uint64, error) {
	answer, err := n.Client.Policies.Put(ctx, connect.NewRequest(&pb.PutRequest{Name: name, Text: []byte(text)}))
	if err != nil {
		return 0, err
	}
	return answer.Msg.GetVersion().GetNumber(), nil
}

// commit is a put by way of each node, as its client sees it.
func commit(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for i := range 300 {
		began := time.Now()
		if _, err := put(ctx, f.Nodes[i%len(f.Nodes)], "commit", fmt.Sprintf("# %d\n%s", i, talk)); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(began).Microseconds())/1e3)
	}
	return all, nil
}

// cellOn starts a cell of a name on a node, with the guest's functions.
func cellOn(ctx context.Context, n *fabrictest.Node, name, policy, code string) error {
	if _, err := n.Client.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: name, Policy: &pb.PolicyRef{Name: policy}, Placement: &pb.Placement{Node: n.Name}})); err != nil {
		return err
	}
	_, err := n.Client.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: name, Code: code}))
	return err
}

// withCells is of a row that needs a cell on each node, c1 on n1: the first such row starts them.
func withCells(measure measure) measure {
	return func(ctx context.Context, f *fabrictest.Fabric) ([]float64, error) {
		_, err := f.Nodes[0].Client.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Name: "c1"}))
		if err == nil {
			return measure(ctx, f)
		}
		if _, err := put(ctx, f.Nodes[0], "fast", fast); err != nil {
			return nil, err
		}
		for _, n := range f.Nodes {
			if err := cellOn(ctx, n, "c"+n.Name[1:], "fast", benchGuest); err != nil {
				return nil, err
			}
		}
		return measure(ctx, f)
	}
}

// enforced is from the begin of a put on one node until cells on all say that it is in force.
func enforced(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for i := range 100 {
		began := time.Now()
		number, err := put(ctx, f.Nodes[i%len(f.Nodes)], "fast", fmt.Sprintf("# %d\n%s", i, fast))
		if err != nil {
			return nil, err
		}
		for _, n := range f.Nodes {
			for {
				answer, err := n.Client.Cells.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Name: "c" + n.Name[1:]}))
				if err != nil {
					return nil, err
				}
				if answer.Msg.GetReport().GetPolicy().GetVersion() >= number {
					break
				}
			}
		}
		all = append(all, float64(time.Since(began).Microseconds())/1e3)
	}
	return all, nil
}

// benchGuest is measured by the guest's own clock.
const benchGuest = `
import time
def kilobyte():
    return "x" * 1000
def echo(n, whom):
    for i in range(n):
        request("send", "send", {"to": whom, "value": recv(timeout=30)})
def trips(n, whom):
    all = []
    for i in range(n):
        began = time.perf_counter_ns()
        request("send", "send", {"to": whom, "value": "x" * 1000})
        recv(timeout=30)
        all.append((time.perf_counter_ns() - began) / 2e3)
    return all
def insist(message):
    while True:
        try:
            return request("send", "send", message)
        except Exception: # the other's inbox is full
            time.sleep(0.001)
def batches(n, size, whom):
    head = b'{"to": "%s"}' % whom.encode()
    message = len(head).to_bytes(4, "big") + head + bytes(1000) * size
    for i in range(n):
        insist(message)
def unpack(n):
    recv(timeout=30)
    began, count = time.perf_counter_ns(), 0
    for i in range(n - 1):
        batch = recv(timeout=30)
        for at in range(0, len(batch), 1000):
            message = batch[at:at + 1000]
            count += len(message) == 1000
    return [count / ((time.perf_counter_ns() - began) / 1e9)]
def flood(n, whom):
    for i in range(n):
        insist({"to": whom, "value": i})
def count(n):
    recv(timeout=30)
    began = time.perf_counter_ns()
    for i in range(n - 1):
        recv(timeout=30)
    return [(n - 1) / ((time.perf_counter_ns() - began) / 1e9)]
`

// call returns what a cell's function returns: numbers, or nothing.
func call(ctx context.Context, n *fabrictest.Node, name, target, args string) (all []float64, err error) {
	answer, err := n.Client.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: name, Target: target, Args: args}))
	if err != nil {
		return nil, err
	}
	return numbers(answer.Msg.GetValue().GetJson())
}

// callFar is a client's call, by way of one node, of a cell on another, until its answer of a kilobyte.
func callFar(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for range 2000 {
		began := time.Now()
		if _, err := f.Nodes[0].Client.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: "c2", Target: "kilobyte"})); err != nil {
			return nil, err
		}
		all = append(all, float64(time.Since(began).Nanoseconds())/1e3)
	}
	return all, nil
}

// both calls functions of c1 and c2 at the same time.
func both(ctx context.Context, f *fabrictest.Fabric, here, there string, hereArgs, thereArgs string) (first, second []float64, err error) {
	failed := make(chan error, 1)
	go func() {
		var err error
		second, err = call(ctx, f.Nodes[1], "c2", there, thereArgs)
		failed <- err
	}()
	first, err = call(ctx, f.Nodes[0], "c1", here, hereArgs)
	return first, second, errors.Join(err, <-failed)
}

// guestFar is a kilobyte from a guest to one on another node: half of there and back.
func guestFar(ctx context.Context, f *fabrictest.Fabric) ([]float64, error) {
	first, _, err := both(ctx, f, "trips", "echo", `[2000, "c2"]`, `[2000, "c1"]`)
	return first, err
}

// guestBatch is how many messages of a kilobyte a guest hears in a second from one on another node,
// which sends a hundred in one.
func guestBatch(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for range 5 {
		_, second, err := both(ctx, f, "batches", "unpack", `[200, 100, "c2"]`, `[200]`)
		if err != nil {
			return nil, err
		}
		all = append(all, second...)
	}
	return all, nil
}

// guestFlood is how many messages a guest hears in a second from one on another node, which waits
// for the answer to each: what nodes could carry of many guests is more.
func guestFlood(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for range 3 {
		_, second, err := both(ctx, f, "flood", "count", `[5000, "c2"]`, `[5000]`)
		if err != nil {
			return nil, err
		}
		all = append(all, second...)
	}
	return all, nil
}

// status of a cluster as a node knows it; nil when it does not answer.
func status(ctx context.Context, n *fabrictest.Node) *pb.StatusResponse {
	answer, err := n.Client.Cluster.Status(ctx, connect.NewRequest(&pb.StatusRequest{}))
	if err != nil {
		return nil
	}
	return answer.Msg
}

// failover is from the leader's death until another node has agreed on a change.
func failover(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for i := range 3 {
		s := status(ctx, f.Nodes[0])
		leader := f.Node(s.GetLeader())
		if leader == nil {
			return nil, fmt.Errorf("the leader is %q", s.GetLeader())
		}
		other := f.Nodes[0]
		if other == leader {
			other = f.Nodes[1]
		}
		if err := leader.Kill(); err != nil {
			return nil, err
		}
		began := time.Now()
		name := fmt.Sprint("after", i)
		if !fabrictest.Until(ctx, func() bool {
			now := status(ctx, other)
			return now.GetLeader() != "" && now.GetLeader() != leader.Name
		}) {
			return nil, errors.New("there is no other leader")
		}
		all = append(all, time.Since(began).Seconds())
		if err := restore(ctx, f, other, leader, name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// restore shows that the cluster takes changes without the node, and starts it again.
func restore(ctx context.Context, f *fabrictest.Fabric, other, dead *fabrictest.Node, name string) error {
	var err error
	if !fabrictest.Until(ctx, func() bool {
		_, err = put(ctx, other, name, talk)
		return err == nil
	}) {
		return fmt.Errorf("no change without %s: %w", dead.Name, err)
	}
	if err := dead.Start(); err != nil {
		return err
	}
	return f.Converge(ctx)
}

// death is from a node's death until another one tells of it.
func death(ctx context.Context, f *fabrictest.Fabric) (all []float64, err error) {
	for i := range 3 {
		victim, other := f.Nodes[2], f.Nodes[i%2]
		if err := victim.Kill(); err != nil {
			return nil, err
		}
		began := time.Now()
		if !fabrictest.Until(ctx, func() bool {
			answer, err := other.Client.Cluster.ListMembers(ctx, connect.NewRequest(&pb.ListMembersRequest{}))
			return err == nil && slices.ContainsFunc(answer.Msg.GetMembers(), func(m *pb.Member) bool {
				return m.GetName() == victim.Name && strings.HasPrefix(m.GetState(), "failed")
			})
		}) {
			return nil, errors.New("nobody notices")
		}
		all = append(all, time.Since(began).Seconds())
		if err := restore(ctx, f, other, victim, fmt.Sprint("dead", i)); err != nil {
			return nil, err
		}
	}
	return all, nil
}
