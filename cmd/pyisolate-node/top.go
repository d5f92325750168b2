package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// topRow is a cell in the table: what it has, and how fast.
type topRow struct {
	Tenant  string        `json:"tenant"`
	Name    string        `json:"name"`
	Node    string        `json:"node,omitempty"`
	State   string        `json:"state"`
	Busy    bool          `json:"busy"`
	CPU     time.Duration `json:"cpu_ns"`
	Memory  int64         `json:"memory"`
	Percent float64       `json:"cpu_percent"` // of one processor
	Posts   float64       `json:"posts_per_second"`
	Logs    float64       `json:"logs_per_second"`
	Denials float64       `json:"denials_per_second"`
	Policy  string        `json:"policy"`
	Version uint64        `json:"version"`
}

// orders are what the table can be sorted by, the highest first.
var orders = map[string]func(a, b topRow) int{
	"cpu":     func(a, b topRow) int { return cmp.Compare(b.Percent, a.Percent) },
	"memory":  func(a, b topRow) int { return cmp.Compare(b.Memory, a.Memory) },
	"posts":   func(a, b topRow) int { return cmp.Compare(b.Posts, a.Posts) },
	"denials": func(a, b topRow) int { return cmp.Compare(b.Denials, a.Denials) },
	"name":    func(topRow, topRow) int { return 0 },
}

func newTop() *cobra.Command {
	var once bool
	var every time.Duration
	var by, tenant, node string
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch cells in a table: processor, memory, rates",
		Long: `Watch the cells of all nodes of a cluster in a table that refreshes: the share of a processor
that each uses, its memory, and how many posts, logs and denials it has per second. Rates are
since the previous table; the first table shows averages over each cell's life. Nodes that do
not answer are named above the table. q ends it. In a pipe, the tables follow one another.`,
		Example: "  pyisolate-node top\n  pyisolate-node top --once --sort memory --node n2",
		Args:    cobra.NoArgs,
	}
	c.Flags().BoolVar(&once, "once", false, "print one table, and end")
	c.Flags().DurationVar(&every, "every", 2*time.Second, "the time between two tables, 100ms or more")
	c.Flags().StringVar(&by, "sort", "cpu", "what to sort by: cpu, memory, posts, denials or name")
	c.Flags().StringVar(&tenant, "tenant", "", "show only this tenant's cells")
	addNodeFlag(c, &node)
	_ = c.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions([]string{"cpu", "memory", "posts", "denials", "name"}, cobra.ShellCompDirectiveNoFileComp))
	return newRemote(c, func(ctx context.Context, r *remote, _ []string) error {
		order, known := orders[by]
		if !known {
			return usageError{fmt.Errorf("--sort %q: write cpu, memory, posts, denials or name", by)}
		}
		if every < 100*time.Millisecond {
			return usageError{errors.New("--every: 100ms is the least")}
		}
		t := &top{remote: r, order: order, tenant: tenant, node: node, before: map[string]topSample{}}
		if once {
			return t.frame(ctx)
		}
		return t.watch(ctx, every)
	})
}

// top draws tables of cells.
type top struct {
	*remote
	order  func(a, b topRow) int
	tenant string // the only one, if it is not ""
	node   string // the same
	screen bool   // the table stays where it is
	frames int    // that were drawn
	before map[string]topSample
}

// topSample is what was known of a cell when the last table was made.
type topSample struct {
	at     time.Time
	report *pb.CellReport
}

// watch draws until ctx ends, or q is pressed.
func (t *top) watch(ctx context.Context, every time.Duration) error {
	var quit <-chan struct{}
	if !t.asJSON {
		var restore func()
		quit, restore = keyboard(os.Stdin, os.Stdout)
		defer restore()
	}
	t.screen = quit != nil
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		if err := t.frame(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case <-again.C:
		case <-quit:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// frame draws one table.
func (t *top) frame(ctx context.Context) error {
	answer, err := t.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{Tenant: t.tenant, Node: t.node}))
	if err != nil {
		return err
	}
	now, after := time.Now(), map[string]topSample{}
	var rows []topRow
	var cpu float64
	var memory int64
	for _, one := range answer.Msg.GetReports() {
		row := topRowOf(one, t.before[one.GetId()], now)
		after[one.GetId()] = topSample{now, one}
		cpu, memory = cpu+row.Percent, memory+row.Memory
		rows = append(rows, row)
	}
	t.before = after
	slices.SortStableFunc(rows, t.order)
	if t.asJSON {
		for _, row := range rows {
			t.line(row)
		}
		t.silent(answer.Msg.GetSilent())
		return nil
	}
	head := fmt.Sprintf("%s: %d cells, cpu %.0f %%, memory %.1f MiB", t.address, len(rows), cpu, float64(memory)/(1<<20))
	if silent := answer.Msg.GetSilent(); len(silent) > 0 {
		head += "; no answer from " + plain(strings.Join(silent, ", "))
	}
	t.draw(rows, head)
	return nil
}

func (t *top) draw(rows []topRow, head string) {
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "CELL\tSTATE\tCPU%\tCPU\tMEMORY\tPOSTS/s\tLOGS/s\tDENIED/s\tPOLICY\tNODE")
	for _, r := range rows {
		state := plain(r.State)
		if r.Busy {
			state += "*"
		}
		fmt.Fprintf(table, "%s/%s\t%s\t%.1f\t%s\t%.1f MiB\t%.1f\t%.1f\t%.1f\t%s\t%s\n", r.Tenant, r.Name, state, r.Percent, r.CPU.Round(time.Millisecond),
			float64(r.Memory)/(1<<20), r.Posts, r.Logs, r.Denials, plain(r.Policy), cmp.Or(plain(r.Node), "-"))
	}
	_ = table.Flush()
	text := head + "\n" + b.String()
	switch {
	case t.screen:
		text = screenful(text)
	case t.frames > 0:
		text = "\n" + text
	}
	t.frames++
	_, _ = t.out.Write([]byte(text))
}

// screenful is a table as the whole of a terminal's screen: as many lines as fit.
func screenful(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if size, err := unix.IoctlGetWinsize(int(os.Stdout.Fd()), unix.TIOCGWINSZ); err == nil && size.Row > 1 && size.Col > 0 {
		lines = lines[:min(len(lines), int(size.Row)-1)]
		for i, line := range lines {
			if runes := []rune(line); len(runes) > int(size.Col) {
				lines[i] = string(runes[:size.Col])
			}
		}
	}
	return "\x1b[H\x1b[J" + strings.Join(lines, "\r\n") + "\r\n"
}

// topRowOf compares a cell with what was known of it; of one that is new it takes the whole life.
func topRowOf(r *pb.CellReport, before topSample, now time.Time) topRow {
	row := topRow{Tenant: r.GetCell().GetTenant(), Name: r.GetCell().GetName(), Node: r.GetNode(), State: r.GetState(), Busy: r.GetBusy(), CPU: r.GetCpu().AsDuration(),
		Memory: r.GetMemory(), Policy: policyOf(r), Version: r.GetPolicy().GetVersion()}
	from := before.at
	if before.report == nil {
		from = r.GetStarted().AsTime()
	}
	seconds := now.Sub(from).Seconds()
	if seconds <= 0 {
		return row
	}
	since := func(is, was uint64) float64 { // a cell that was started again counts from 0
		if is < was {
			was = 0
		}
		return float64(is-was) / seconds
	}
	row.Percent = 100 * since(uint64(max(r.GetCpu().AsDuration(), 0)), uint64(max(before.report.GetCpu().AsDuration(), 0))) / float64(time.Second)
	row.Posts, row.Logs, row.Denials = since(r.GetPosts(), before.report.GetPosts()), since(r.GetLogs(), before.report.GetLogs()), since(r.GetDenials(), before.report.GetDenials())
	return row
}

// keyboard tells when q is pressed, where both are a terminal; quit is nil where they are not.
// The terminal is as it was after restore.
func keyboard(in, out *os.File) (quit <-chan struct{}, restore func()) {
	old, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if _, outErr := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS); err != nil || outErr != nil {
		return nil, func() {}
	}
	raw := *old
	raw.Lflag &^= unix.ICANON | unix.ECHO // Ctrl-C stays what it is
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, func() {}
	}
	pressed := make(chan struct{})
	go func() { // it ends with the process
		key := make([]byte, 1)
		for {
			if n, err := in.Read(key); err != nil || n == 1 && (key[0] == 'q' || key[0] == 'Q') {
				close(pressed)
				return
			}
		}
	}()
	_, _ = out.WriteString("\x1b[?1049h\x1b[?25l") // a screen of its own, without a cursor
	return pressed, func() {
		_, _ = out.WriteString("\x1b[?25h\x1b[?1049l")
		_ = unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, old)
	}
}
