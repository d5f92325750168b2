package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/checkpoint"
	"github.com/pyisolate/pyisolate/kernel/measure"
)

// measurement takes n samples, and may fill the further fields of r.
type measurement func(ctx context.Context, b *bench, n int, r *benchResult) ([]float64, error)

// benchRow is one measurement beside its peer.
type benchRow struct {
	name, unit string
	// samples to take when the command line does not say.
	samples int
	measure measurement
	// peer is what script, of peers/, or against measures; "" compares with nothing.
	peer    string
	script  string
	against measurement
	// peerSamples to take; 0: as many as ours.
	peerSamples int
	// more is set where a larger figure is the better one.
	more bool
	bar  benchBar
	// bare rows are measured without the node's programs in the kernel.
	bare bool
}

// benchBar is what the row is to reach; a zero field asks nothing.
type benchBar struct {
	p50   float64
	p99   float64
	ratio float64
	// times is how many times the peer's it may be at most.
	times float64
}

// benchRows in the order they run. Scripts read the names: do not change one.
var benchRows = []benchRow{
	{name: "spawn.warm", unit: "us", samples: 200, measure: spawnWarm,
		peer: "concurrent.interpreters", script: "spawn", peerSamples: 100, bar: benchBar{p50: 350, ratio: 40}},
	{name: "spawn.cold", unit: "us", samples: 200, measure: spawnCold,
		peer: "concurrent.interpreters", script: "spawn", peerSamples: 100, bar: benchBar{ratio: 2}},
	{name: "spawn.process", unit: "us", samples: 200, measure: spawnProcess,
		peer: "subprocess", script: "process", peerSamples: 50, bar: benchBar{p50: 3000}},
	{name: "rtt.host", unit: "us", samples: 20000, measure: tripHost,
		peer: "multiprocessing", script: "echo", bar: benchBar{p50: 10}},
	{name: "rtt.node", unit: "us", samples: 20000, measure: tripNode,
		peer: "multiprocessing", script: "echo", bar: benchBar{p50: 35}},
	{name: "rtt.crowd", unit: "us", samples: 5000, measure: tripCrowd, bar: benchBar{p99: 5000}},
	{name: "throughput.host", unit: "msg/s", samples: 10, measure: throughputHost,
		peer: "multiprocessing", script: "flood", more: true},
	{name: "memory.cell", unit: "KiB", samples: 1000, measure: memoryCell,
		peer: "concurrent.interpreters", script: "memory", peerSamples: 200, bar: benchBar{p50: 0.8 * 1024}},
	{name: "kill.bytecode", unit: "us", samples: 200, measure: killBytecode,
		peer: "multiprocessing", script: "kill", peerSamples: 50},
	oneWay("seal.small", smallBytes, benchBar{p50: 1.9e6}),
	oneWay("seal.1k", tripBytes, benchBar{p50: 1e6}),
	roundTrip(transport.ModeSocket, 1), roundTrip(transport.ModeSocket, 8), roundTrip(transport.ModeSocket, 64),
	roundTrip(transport.ModeUring, 1), roundTrip(transport.ModeUring, 8), roundTrip(transport.ModeUring, 64),
	{name: "channel.host", unit: "KiB", samples: 3, measure: idleChannels, bar: benchBar{p50: 64}},
	{name: "channel.cell", unit: "KiB", samples: 1, measure: idleSeats, bar: benchBar{p50: 4}},
	{name: "idle.cpu", unit: "%", samples: 3, measure: idleCPU, bar: benchBar{p50: 1}},
	kernelRow(measure.Load, "ms", 10, "", benchBar{p50: 200}),
	kernelRow(measure.Bind, "us", 1000, "", benchBar{p50: 50}),
	kernelRow(measure.Publish, "us", 1000, "", benchBar{p50: 5}),
	{name: "kernel.reload", unit: "us", samples: 1000, measure: reloadCell},
	kernelRow(measure.Open, "us", 400, freeThread, benchBar{times: 1.35}),
	kernelRow(measure.OpenNotify, "us", 400, freeThread, benchBar{}),
	kernelRow(measure.Connect, "us", 400, freeThread, benchBar{times: 1.3}),
	{name: "policy.compile", unit: "ms", samples: 100, measure: compileDocument, peer: "the YAML parser alone", against: bareYAML, bar: benchBar{p50: 20}},
	{name: "policy.commit", unit: "ms", samples: 500, measure: commitPolicy, peer: "bbolt alone", against: bareCommit, bar: benchBar{p50: 2}},
	{name: "policy.live", unit: "ms", samples: 200, measure: liveReload, bar: benchBar{p50: 5, p99: 25}},
	{name: "msg.guest", unit: "us", samples: 5000, measure: withNode(guestToGuest),
		peer: "multiprocessing", against: halved("echo"), bar: benchBar{p50: 80}},
	{name: "msg.batch", unit: "msg/s", samples: 10, measure: withNode(batched),
		peer: "multiprocessing", against: batchedFlood, more: true, bar: benchBar{p50: 1e5}},
	{name: "api.call", unit: "us", samples: 5000, measure: apiCall(false),
		peer: "Connect alone", against: bareCall(false), bar: benchBar{p50: 250}},
	{name: "api.json", unit: "us", samples: 5000, measure: apiCall(true),
		peer: "Connect alone", against: bareCall(true), bar: benchBar{p50: 400}},
	{name: "api.calls", unit: "calls/s", samples: 20, measure: withNode(apiCalls),
		peer: "Connect alone", against: bareCalls, more: true, bar: benchBar{p50: 8000}},
	{name: "api.streams", unit: "us", samples: 1000, measure: withNode(apiStreams)},
	{name: "checkpoint.10m", unit: "ms", samples: 20, measure: withNode(checkpointTen), peer: "pickle and fsync", against: pickled("dump"), bar: benchBar{p50: 80}},
	{name: "restore.10m", unit: "ms", samples: 20, measure: withNode(restoreTen), peer: "pickle", against: pickled("load"), bar: benchBar{p50: 120}},
	{name: "checkpoint.seal", unit: "MB/s", samples: 10, measure: sealRow(false, checkpoint.None), peer: "the cipher alone", against: bareSeal(false), more: true, bar: benchBar{p50: 1000}},
	{name: "checkpoint.open", unit: "MB/s", samples: 10, measure: sealRow(true, checkpoint.None), peer: "the cipher alone", against: bareSeal(true), more: true, bar: benchBar{p50: 1000}},
}

// oneWay is a row of messages a second of one processor.
func oneWay(name string, size int, bar benchBar) benchRow {
	return benchRow{name: name, unit: "msg/s", samples: 10, measure: channelFlood(transport.ModeSocket, size),
		peer: "unix socket", against: channelFlood("", size), more: true, bar: bar}
}

// roundTrip is a row of microseconds a message of 1 kB, there and back.
func roundTrip(mode transport.Mode, batch int) benchRow {
	return benchRow{name: fmt.Sprintf("transport.%s.%d", mode, batch), unit: "us", samples: 20000 / batch,
		measure: channelTrips(mode, batch), peer: "unix socket", against: plainTrips(batch)}
}

// chosenRows are those named, in order, or all of them.
func chosenRows(names []string) ([]benchRow, error) {
	if len(names) == 0 {
		return benchRows, nil
	}
	var rows []benchRow
	for _, name := range names {
		i := slices.IndexFunc(benchRows, func(r benchRow) bool { return r.name == name })
		if i < 0 {
			return nil, usageError{fmt.Errorf("row %q is not known; the rows are %v", name, rowNames())}
		}
		rows = append(rows, benchRows[i])
	}
	return rows, nil
}

func rowNames() []string {
	names := make([]string, len(benchRows))
	for i, r := range benchRows {
		names[i] = r.name
	}
	return names
}

// missingError is why this machine cannot have a row.
type missingError struct{ why string }

func (e missingError) Error() string { return e.why }

// run measures the row and its peer.
func (row benchRow) run(ctx context.Context, b *bench) (benchResult, error) {
	r := benchResult{Name: row.name, Unit: row.unit, Bar: row.bar.text(row)}
	if row.bare {
		b.withoutKernel()
	}
	samples, err := row.measure(ctx, b, b.count(row.samples), &r)
	var missing missingError
	if errors.As(err, &missing) {
		r.Note = "not measured: " + missing.why
		return r, nil
	}
	if err != nil {
		return r, fmt.Errorf("bench %s: %w", row.name, err)
	}
	if r.N == 0 {
		r.N = len(samples)
	}
	r.P50, r.P99 = quantile(samples, 0.5), quantile(samples, row.worst())
	if err := row.compare(ctx, b, &r); err != nil {
		return r, fmt.Errorf("bench %s: measure %s: %w", row.name, row.peer, err)
	}
	if row.bar != (benchBar{}) {
		r.BarRatio = row.bar.reached(row, r)
		met := r.BarRatio >= 1
		r.BarMet = &met
	}
	return r, nil
}

// worst is where the unlucky samples lie.
func (row benchRow) worst() float64 {
	if row.more {
		return 0.01
	}
	return 0.99
}

func (row benchRow) compare(ctx context.Context, b *bench, r *benchResult) error {
	n := row.peerSamples
	if n == 0 {
		n = row.samples
	}
	var samples []float64
	var err error
	switch {
	case r.PeerP50 > 0: // measured together
		r.relate(row)
		return nil
	case row.against != nil:
		samples, err = row.against(ctx, b, b.count(n), r)
	case row.peer == "":
		return nil
	default:
		samples, err = b.peer(ctx, row.script, b.count(n))
	}
	switch {
	case errors.Is(err, errNoPython):
		r.addNote(fmt.Sprintf("no peer: %s has %v", b.dist.Lib, err))
		return nil
	case err != nil:
		return err
	}
	r.PeerP50 = quantile(samples, 0.5)
	r.relate(row)
	return nil
}

// relate works out how many times better the row is than its peer.
func (r *benchResult) relate(row benchRow) {
	r.Peer = row.peer
	switch {
	case row.more && r.PeerP50 > 0:
		r.Ratio = r.P50 / r.PeerP50
	case !row.more && r.P50 > 0:
		r.Ratio = r.PeerP50 / r.P50
	}
}

// text says the bar in words, "" when there is none.
func (bar benchBar) text(row benchRow) string {
	var words []string
	add := func(asked float64, format string, args ...any) {
		if asked != 0 {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	sign := "<="
	if row.more {
		sign = ">="
	}
	add(bar.p50, "p50 %s %g %s", sign, bar.p50, row.unit)
	add(bar.p99, "p99 <= %g %s", bar.p99, row.unit)
	add(bar.ratio, "ratio >= %g", bar.ratio)
	add(bar.times, "p50 <= %g times the peer's", bar.times)
	return strings.Join(words, ", ")
}

// reached is how many times better than asked the row is, of what is asked the least; 0 where a ratio could not be taken.
func (bar benchBar) reached(row benchRow, r benchResult) float64 {
	least := math.Inf(1)
	ask := func(asked, reached float64) {
		if asked != 0 {
			least = min(least, reached)
		}
	}
	if row.more {
		ask(bar.p50, r.P50/bar.p50)
	} else {
		ask(bar.p50, bar.p50/r.P50)
	}
	ask(bar.p99, bar.p99/r.P99)
	ask(bar.ratio, r.Ratio/bar.ratio)
	ask(bar.times, r.Ratio*bar.times)
	return least
}

// quantile is the sample at q of the sorted samples; 0 when there are none.
func quantile(samples []float64, q float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
