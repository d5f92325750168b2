package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/cell/pydist"
	"github.com/pyisolate/pyisolate/kernel/enforce"
	"github.com/pyisolate/pyisolate/node"
)

// bench is one invocation: one Python for all rows and their peers.
type bench struct {
	dist    pydist.Dist
	samples int // of each row; 0: the row's own number

	// enforcer of rows with cells, once one needs it; nil also where it cannot be had.
	enforcer *enforce.Enforcer
	opened   bool
	warnings io.Writer
}

func (b *bench) count(standard int) int {
	if b.samples > 0 {
		return b.samples
	}
	return standard
}

// launcher is new for each row, so that rows do not share hosts.
func (b *bench) launcher(ctx context.Context, poolSize int) (*launch.Launcher, error) {
	return launch.New(launch.Config{PoolSize: poolSize, Kernel: b.kernel(ctx), Python: launch.Python{
		Home: b.dist.Home, Lib: b.dist.Lib, Stdlib: b.dist.Stdlib, Preload: node.Preloads}})
}

// kernel is the node's half of the kernel, the same for all rows until withoutKernel.
func (b *bench) kernel(ctx context.Context) *enforce.Enforcer {
	if !b.opened {
		b.enforcer, b.opened = openKernel(ctx, true, b.warnings), true
	}
	return b.enforcer
}

// withoutKernel takes it away, for rows that load programs of their own: those that are there
// already would be called beside them.
func (b *bench) withoutKernel() {
	closeKernel(b.enforcer)
	b.enforcer, b.opened = nil, false
}

// benchResult is one line of bench --json. Fields may be added, never renamed.
type benchResult struct {
	Name string  `json:"name"`
	Unit string  `json:"unit"`
	P50  float64 `json:"p50"`
	P99  float64 `json:"p99"`
	N    int     `json:"n"`
	// Peer is missing when the Python has no executable.
	Peer    string  `json:"peer,omitempty"`
	PeerP50 float64 `json:"peer_p50,omitempty"`
	// Ratio is how many times better than the peer.
	Ratio  float64 `json:"ratio,omitempty"`
	Bar    string  `json:"bar,omitempty"`
	BarMet *bool   `json:"bar_met,omitempty"`
	// BarRatio is how many times better than the bar, of its terms the least.
	BarRatio float64 `json:"bar_ratio,omitempty"`

	HitRate  *float64 `json:"hit_rate,omitempty"`  // spawn.warm: claims the pool served
	PoolP50  float64  `json:"pool_p50,omitempty"`  // spawn.process: from the pool
	SmallP50 float64  `json:"small_p50,omitempty"` // throughput.host: messages of 64 B
	// memory.cell: KiB a cell at so many cells; process_child is one child's
	// private memory, process_total adds what the host and zygote grew by.
	At50         float64 `json:"at_50,omitempty"`
	At200        float64 `json:"at_200,omitempty"`
	At1000       float64 `json:"at_1000,omitempty"`
	ProcessChild float64 `json:"process_child,omitempty"`
	ProcessTotal float64 `json:"process_total,omitempty"`

	Note string `json:"note,omitempty"`
}

// skippedResult is the line of a row that this machine cannot have: no figures, and why.
type skippedResult struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
	N    int    `json:"n"`
	Bar  string `json:"bar,omitempty"`
	Note string `json:"note"`
}

// line is what --json prints.
func (r benchResult) line() any {
	if r.N == 0 {
		return skippedResult{r.Name, r.Unit, r.N, r.Bar, r.Note}
	}
	return r.rounded()
}

func (r *benchResult) addNote(words string) {
	if r.Note != "" {
		r.Note += "; "
	}
	r.Note += words
}

const benchHelp = `Measure this machine. Each row is compared with a peer from the same run: what the
same Python offers, the same calls without a policy, or what a library that the node uses
takes by itself. Without a ROW, all rows run, which takes about two minutes:

  spawn.warm       a cell from a full pool, until its first result
  spawn.cold       the same without a pool, in a host that is already running
  spawn.process    the same with --backend process, forked from the zygote
  rtt.host         1 kB to a function of the guest and back, measured in the host
  rtt.node         the same, measured in the node
  rtt.crowd        the same to 1000 cells of one host in turn
  throughput.host  1 kB messages posted by the guest, one way
  memory.cell      private memory of an idle cell, at 200 cells
  kill.bytecode    from cancelling "while True: pass" to its answer
  seal.small       64 B messages through the sealed channel, one way, per second
                   of one processor
  seal.1k          the same with 1 kB messages
  transport.M.N    1 kB messages to another process and back, sealed, N at once,
                   with --broker-io M: socket or uring, N: 1, 8 or 64
  channel.host     memory of an idle host's channel, at each end
  channel.cell     memory that the node keeps for an idle cell
  idle.cpu         processor time of the node and its host, with 200 idle cells
  kernel.load      load and attach the eBPF programs
  kernel.bind      bind a thread to its policy
  kernel.publish   replace the policy of a cell with another that is already in the kernel
  kernel.reload    the same by Cell.Reload, from the call to its answer, while the cell runs
  kernel.open      open and close a file, judged by the eBPF-LSM
  kernel.open.notify   the same, opened by the node (seccomp user notification)
  kernel.connect   connect to a loopback address and close, judged by eBPF programs
  policy.compile   parse and compile a document of 1000 rules
  policy.commit    store a version of a policy, until it is on disk
  policy.live      from a commit until each of 200 running cells follows it
  msg.guest        1 kB from one guest to another of the node, by name
  msg.batch        the same one way, 100 messages in one batch
  api.call         1 kB to a function of a guest and back, by gRPC over the node's socket
  api.json         the same as JSON over HTTP/1.1
  api.calls        the same by gRPC, from 16 callers at once
  api.streams      from an exec until its post comes out of one of 1000 open streams
  checkpoint.10m   from a call of Checkpoint to its answer, with a state of 10 MiB
  restore.10m      from a call of Restore to its answer, with the same
  checkpoint.seal  seal a state, with one processor, uncompressed
  checkpoint.open  open it again

A row whose layer this kernel lacks, or does not permit to this user, has no figures,
and its note says why.

The ratio says how many times better than its peer a row is: 2 is twice as fast, or
half the memory. The number next to "met" or "missed" is the same against the bar, the
project's own target. p99 is the worse end of the samples; for memory.cell it is the
highest of the figures at 50, 200 and 1000 cells. Other work on the machine shows in
every row: compare ratios, not figures.`

func newBench() *cobra.Command {
	var python string
	var samples int
	var asJSON bool
	c := &cobra.Command{
		Use:   "bench [flags] [ROW...]",
		Short: "Measure this machine, and compare cells with Python's own means",
		Long:  benchHelp,
		Example: `  pyisolate-node bench
  pyisolate-node bench spawn.warm rtt.node --json
  sudo pyisolate-node bench kernel.load kernel.open kernel.connect`,
		ValidArgs: rowNames(),
		RunE: func(c *cobra.Command, args []string) error {
			rows, err := chosenRows(args)
			if err != nil {
				return err
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			dist, err := pydist.Resolve(ctx, pydist.Options{Python: python, Progress: pydist.TerminalProgress(os.Stderr)})
			if err != nil {
				return err
			}
			b := &bench{dist: dist, samples: samples, warnings: c.ErrOrStderr()}
			defer b.withoutKernel()
			if asJSON {
				return b.json(ctx, rows, c.OutOrStdout(), c.ErrOrStderr())
			}
			return b.table(ctx, rows, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	c.Flags().StringVar(&python, "python", "", pythonUsage)
	c.Flags().IntVar(&samples, "samples", 0, "the number of samples of each row and peer (default: differs by row)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, one object per line, as each row ends")
	return c
}

func (b *bench) json(ctx context.Context, rows []benchRow, out, progress io.Writer) error {
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	return b.each(ctx, rows, progress, func(r benchResult) error { return lines.Encode(r.line()) })
}

func (b *bench) table(ctx context.Context, rows []benchRow, out, progress io.Writer) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ROW\tP50\tP99\tUNIT\tN\tPEER\tPEER P50\tRATIO\tBAR\tNOTE")
	err := b.each(ctx, rows, progress, func(r benchResult) error {
		r = r.rounded()
		_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.Name, figure(r.P50), figure(r.P99), r.Unit, r.N,
			orDash(r.Peer), figure(r.PeerP50), figure(r.Ratio), r.verdict(), orDash(r.remarks()))
		return err
	})
	if flushErr := t.Flush(); err == nil {
		err = flushErr
	}
	return err
}

// each runs the rows one after the other; progress is written for a person only.
func (b *bench) each(ctx context.Context, rows []benchRow, progress io.Writer, show func(benchResult) error) error {
	for i, row := range rows {
		step(progress, "measuring", row.name, i, len(rows))
		r, err := row.run(ctx, b)
		clearStep(progress)
		if err == nil {
			err = show(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// rounded keeps the digits that mean something.
func (r benchResult) rounded() benchResult {
	for _, v := range []*float64{&r.P50, &r.P99, &r.PeerP50, &r.Ratio, &r.BarRatio, &r.PoolP50, &r.SmallP50,
		&r.At50, &r.At200, &r.At1000, &r.ProcessChild, &r.ProcessTotal} {
		*v = significant(*v)
	}
	return r
}

// significant rounds to two decimals, large figures to none, and small ones, such as the
// ratio to a peer that is far better, to two digits that are not zero.
func significant(v float64) float64 {
	scale := 100.0
	switch a := math.Abs(v); {
	case a >= 1e5:
		scale = 1
	case a > 0 && a < 0.1:
		scale = math.Pow(10, 1-math.Floor(math.Log10(a)))
	}
	return math.Round(v*scale) / scale
}

func (r benchResult) verdict() string {
	switch {
	case r.BarMet == nil:
		return "-"
	case *r.BarMet:
		return fmt.Sprintf("met (%sx): %s", figure(r.BarRatio), r.Bar)
	}
	return fmt.Sprintf("missed (%sx): %s", figure(r.BarRatio), r.Bar)
}

// remarks are the further fields, in words.
func (r benchResult) remarks() string {
	var words []string
	if r.HitRate != nil {
		words = append(words, fmt.Sprintf("%.0f %% from the pool", 100**r.HitRate))
	}
	for _, f := range []struct {
		name  string
		value float64
	}{{"from the pool", r.PoolP50}, {"64 B", r.SmallP50}, {"at 50", r.At50}, {"at 200", r.At200}, {"at 1000", r.At1000},
		{"process child", r.ProcessChild}, {"process with its share of the host", r.ProcessTotal}} {
		if f.value != 0 {
			words = append(words, f.name+" "+figure(f.value))
		}
	}
	if r.Note != "" {
		words = append(words, r.Note)
	}
	return strings.Join(words, ", ")
}

func figure(v float64) string {
	if v == 0 {
		return "-"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
