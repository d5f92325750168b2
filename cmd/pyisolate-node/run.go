package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

const maxSource = cell.MaxMessageBytes

type runOptions struct {
	python, code, policyFile, imports, backend, tenant, dialect, stdin, secrets, store, brokerIO, mode, numa string
	grants, reads, writes, connects, contracts                                                               []string
	mem, output                                                                                              bytesFlag
	cpu                                                                                                      cpuFlag
	wall                                                                                                     time.Duration
	children, files                                                                                          int
	asJSON, stats, raw, coded                                                                                bool
}

func newRun() *cobra.Command {
	var o runOptions
	c := &cobra.Command{
		Use:   "run [flags] FILE|- [ARG...]",
		Short: "Run one Python program in a cell",
		Long: `Start a fresh cell, run one Python program in it, and end the cell. An ARG
becomes one of sys.argv[1:]. Posts go to standard output as they arrive; prints
and logs go to standard error. Without --allow-import the program may import
modules that only compute (math, json, re, …).

With --policy, a document says what the program may do. Then these flags, which
would say the same, are not allowed: ` + governedHelp() + `.` + exitStatusHelp(),
		Example: `  pyisolate-node run examples/hello.py
  echo 'post(sum(range(10)))' | pyisolate-node run -
  pyisolate-node run -c 'while True: pass' --cpu 100ms
  pyisolate-node run --stdin text.txt examples/wordstats.py
  pyisolate-node run --policy policies/compute-only.yml examples/hello.py
  pyisolate-node run --grant fs.read=/etc/os-release examples/read_through_broker.py /etc/os-release`,
		Args: func(c *cobra.Command, args []string) error {
			o.coded = c.Flags().Changed("code") // "" is a program, too
			if len(args) == 0 && !o.coded {
				return usageError{errors.New("name a FILE, or - for standard input, or give -c CODE")}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return run(c, &o, args) },
	}
	f := c.Flags()
	f.SetInterspersed(true)
	f.StringVarP(&o.code, "code", "c", "", "the program, instead of FILE")
	f.StringVar(&o.policyFile, "policy", "", "a policy document that says what the program may do: FILE or FILE:SANDBOX")
	f.StringVar(&o.imports, "allow-import", strings.Join(cell.ComputingImports(), ","), "modules the program may import, separated by commas; '*' for all that cells can have")
	f.StringArrayVar(&o.reads, "allow-read", nil, "a file or directory that the program may open and read directly; repeatable")
	f.StringArrayVar(&o.writes, "allow-write", nil, "a file or directory that the program may read and change directly; repeatable")
	f.StringArrayVar(&o.connects, "allow-connect", nil, "addresses that the program may connect and send to, ADDRESS[/BITS][:PORTS]; it also needs --allow-import socket; repeatable")
	f.StringArrayVar(&o.contracts, "contract", nil, "a condition on what the program does, such as \"connects <= 10\"; repeatable")
	f.StringVar(&o.backend, "backend", "", "subinterpreter or process (default subinterpreter; with --mode hardened process)")
	f.Var(&o.mem, "mem", "memory that the program may hold, at least 4MiB (default 128MiB)")
	f.Var(&o.cpu, "cpu", "CPU time in total, such as 500ms, or per window of wall time, such as 500ms/1s (default: unlimited)")
	f.DurationVar(&o.wall, "wall", 0, "wall time, such as 10s (default: unlimited)")
	f.Var(&o.output, "output", "all posted, printed, logged and metric bytes together, such as 1MiB (default: unlimited)")
	f.IntVar(&o.children, "children", 0, "threads that the program may have besides its own (default 0)")
	f.IntVar(&o.files, "files", 0, "files that the program may hold open (default 64)")
	f.StringVar(&o.tenant, "tenant", "default", "the tenant of the cell")
	f.StringVar(&o.dialect, "dialect", string(cell.Python), "the language of the program: python or restricted")
	f.StringVar(&o.stdin, "stdin", "", "the file that the program reads as sys.stdin; - is this command's standard input")
	f.StringArrayVar(&o.grants, "grant", nil, "an effect that the program may request: NAME, NAME=WORD or NAME={JSON}, such as fs.read=/data; repeatable")
	f.StringVar(&o.secrets, "secrets", "", "where --grant secrets.get finds secrets: a directory of files, a JSON file, or env:NAME,NAME")
	f.StringVar(&o.store, "store", "", "the file in which --grant kv keeps its values")
	f.StringVar(&o.brokerIO, "broker-io", string(transport.ModeAuto), "how this process talks to the cell's process: auto, uring or socket")
	f.StringVar(&o.mode, "mode", string(stack.Dev), "what to do if a kernel layer is missing: hardened refuses to run, dev runs without it; compatibility uses no layers")
	f.StringVar(&o.numa, "numa", "auto", "the NUMA node whose processors and memory the cell uses: its number, or auto")
	f.StringVar(&o.python, "python", "", pythonUsage)
	f.BoolVar(&o.raw, "raw", false, rawUsage)
	f.BoolVar(&o.asJSON, "json", false, "print posts, logs, metrics, refusals and errors to standard output as JSON, one object per line")
	f.BoolVar(&o.stats, "stats", false, "print a report at the end: times, memory, counters")
	_ = c.RegisterFlagCompletionFunc("backend", cobra.FixedCompletions([]string{"subinterpreter", "process"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("broker-io", cobra.FixedCompletions([]string{"auto", "uring", "socket"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{string(stack.Hardened), string(stack.Dev), string(stack.Compatibility)}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("dialect", cobra.FixedCompletions([]string{"python", "restricted"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// printer shows what the program says as cell exec does.
func (o *runOptions) printer(out *output, said io.Writer) *printer {
	return &printer{out: out, err: said, asJSON: o.asJSON, escapes: !o.raw, escapesPosts: !o.raw && isTerminal(out)}
}

func (o *runOptions) spec(sink cell.Sink) (cell.Spec, error) {
	s := cell.Spec{
		Tenant: o.tenant, Backend: cell.Backend(o.backend), Sink: sink, NUMA: o.numa,
		Limits: cell.Limits{Memory: int64(o.mem), Wall: o.wall, Output: int64(o.output), Children: o.children, Files: o.files},
	}
	o.cpu.apply(&s.Limits)
	for m := range strings.SplitSeq(o.imports, ",") {
		if m = strings.TrimSpace(m); m != "" {
			s.Imports = append(s.Imports, m)
		}
	}
	var err error
	s.Policy, err = o.policy()
	return s, err
}

// policy is what the --allow flags give beside imports, nil when they give nothing.
func (o *runOptions) policy() (*policy.Policy, error) {
	var p policy.Policy
	for access, paths := range map[policy.Access][]string{policy.Read: o.reads, policy.Read | policy.Write: o.writes} {
		for _, path := range paths {
			whole, err := filepath.Abs(path)
			if err != nil {
				return nil, usageError{fmt.Errorf("path %s: %w", path, err)}
			}
			p.Files = append(p.Files, policy.FileRule{Path: whole, Access: access})
		}
	}
	for _, text := range o.connects {
		r, err := policy.ParseNetRule(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--allow-connect: %w", err)}
		}
		p.Net = append(p.Net, r)
	}
	p.Contract = strings.Join(o.contracts, "\n")
	if p.Files == nil && p.Net == nil && p.Contract == "" {
		return nil, nil
	}
	if err := p.Validate(); err != nil {
		return nil, usageError{err}
	}
	return &p, nil
}

// source reads the program and says what is left of the arguments.
func (o *runOptions) source(stdin io.Reader, args []string) (cell.Source, error) {
	src := cell.Source{Dialect: cell.Dialect(o.dialect), Stdin: o.stdin != ""}
	if o.coded {
		src.Code, src.File, src.Args = []byte(o.code), "<code>", args
		return src, nil
	}
	src.File, src.Args = args[0], args[1:]
	from := stdin
	if args[0] == "-" {
		src.File = "<stdin>"
		if o.stdin == "-" {
			return src, usageError{errors.New("standard input cannot be both the program and its input; put the program in a file")}
		}
	} else {
		file, err := os.Open(args[0])
		if err != nil {
			return src, usageError{fmt.Errorf("read the program: %w", err)}
		}
		defer func() { _ = file.Close() }()
		from = file
	}
	code, err := io.ReadAll(io.LimitReader(from, maxSource+1))
	if err != nil {
		return src, usageError{fmt.Errorf("read the program: %w", err)}
	}
	if len(code) > maxSource {
		return src, usageError{fmt.Errorf("the program is larger than %d MiB", maxSource>>20)}
	}
	src.Code = code
	return src, nil
}

func (o *runOptions) launchConfig() (launch.Config, error) {
	broker, err := transport.ParseMode(o.brokerIO)
	if err != nil {
		return launch.Config{}, usageError{fmt.Errorf("--broker-io: %w", err)}
	}
	mode, err := stack.ParseMode(o.mode)
	if err != nil {
		return launch.Config{}, usageError{fmt.Errorf("--mode: %w", err)}
	}
	return launch.Config{PoolSize: -1, BrokerIO: broker, Confinement: mode}, nil
}

func run(c *cobra.Command, o *runOptions, args []string) error {
	ctx, stop := interruptible(c.Context())
	defer stop()
	working, to := newOutput(ctx, c.OutOrStdout())
	return to.checked(interrupted(ctx, o.run(working, c, to, args)), c.ErrOrStderr())
}

func (o *runOptions) run(ctx context.Context, c *cobra.Command, to *output, args []string) error {
	out := o.printer(to, c.ErrOrStderr())
	config, err := o.launchConfig()
	if err != nil {
		return err
	}
	src, err := o.source(&input{ctx, c.InOrStdin()}, args)
	if err != nil {
		return err
	}
	input, err := o.input(c.InOrStdin())
	if err != nil {
		return err
	}
	rules, err := o.rules(ctx, c, out)
	if err != nil {
		return err
	}
	spec := rules.spec
	src.Dialect = cell.Dialect(o.dialect)
	spec.Backend = cmp.Or(spec.Backend, config.Backend())
	// A whole program is one message: its size is the user's own business here.
	spec.Limits.MessageBytes = max(cmp.Or(spec.Limits.MessageBytes, cell.DefaultMessageBytes), len(src.Code)+len(strings.Join(src.Args, ""))+4096)
	if err := errors.Join(spec.Validate(), src.Validate()); err != nil {
		return err
	}
	out.effects, err = o.openEffects(rules.grants)
	if err != nil {
		return err
	}
	defer func() { _ = out.effects.close() }()
	config.Kernel = openKernel(ctx, spec.Policy != nil || config.Confinement == stack.Hardened, c.ErrOrStderr())
	defer closeKernel(config.Kernel)
	launcher, err := newLauncher(ctx, o.python, config)
	if err != nil {
		return err
	}
	defer closeLauncher(launcher)
	err = runIn(ctx, launcher, spec, src, input, out, o.stats)
	var wrong invalidSpec
	if err == nil || to.failure() != nil || errors.As(err, &wrong) { // which is told of instead, or as others of the command line
		return err
	}
	status := statusOf(err)
	if ctx.Err() != nil {
		status = statusInterrupt
	}
	out.failure(err, status)
	return exitStatus(status)
}

func (o *runOptions) input(stdin io.Reader) (io.ReadCloser, error) {
	switch o.stdin {
	case "":
		return nil, nil
	case "-":
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(o.stdin)
	if err != nil {
		return nil, usageError{fmt.Errorf("open --stdin: %w", err)}
	}
	return f, nil
}

// invalidSpec is what only starting a cell finds wrong with the command line.
type invalidSpec struct{ error }

func (e invalidSpec) Unwrap() error { return e.error }

// runIn claims a cell, runs src in it and shows what comes out.
func runIn(ctx context.Context, l *launch.Launcher, spec cell.Spec, src cell.Source, input io.ReadCloser, out *printer, stats bool) error {
	begun := time.Now()
	guest, err := l.Spawn(ctx, spec)
	switch {
	case errors.Is(err, cell.Invalid):
		return invalidSpec{err}
	case err != nil:
		return err
	}
	if why := l.Stats().NoUring; why != "" {
		out.Log(cell.LogRecord{Level: "warning", Message: "--broker-io: the socket is used: " + why})
	}
	spawned := time.Now()
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		showPosts(guest, out)
	}()
	err = execFed(ctx, guest, src, input, min(feedChunk, spec.Limits.MessageBytes))
	ran := time.Now()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	report, reportErr := guest.Inspect(ending)
	closeErr := guest.Close(ending)
	<-shown
	if stats && reportErr == nil {
		out.stats(statistics{Report: report, Spawn: spawned.Sub(begun), Run: ran.Sub(spawned)})
	}
	if err == nil && closeErr != nil && !errors.Is(closeErr, cell.CellGone) {
		return closeErr
	}
	return err
}

// execFed runs src while input, if there is one, is sent to it, most bytes at once. A program whose input cannot
// be read is interrupted: it would take a part for the whole.
func execFed(ctx context.Context, guest cell.Cell, src cell.Source, input io.ReadCloser, most int) error {
	if input == nil {
		return guest.Exec(ctx, src)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	unread := make(chan error, 1)
	go func() {
		if err := feed(ctx, guest, input, make([]byte, most)); err != nil {
			unread <- cell.Errorf(cell.Invalid, "read --stdin: %v", err)
			cancel()
		}
	}()
	err := guest.Exec(ctx, src)
	select {
	case err = <-unread:
	default:
	}
	return err
}

// showPosts prints the outbox until the cell's end. The failure of Exec comes
// through it too, and is shown by run.
func showPosts(guest cell.Cell, out *printer) {
	for {
		item, err := guest.Recv(context.Background())
		if err != nil {
			return
		}
		if item.Err == nil {
			out.post(item.Value)
		}
	}
}

// feedChunk is how much of its input a program is sent at once, if messages may be so large.
const feedChunk = 64 << 10

// feed sends r to the guest's inbox, as fast as the guest takes it, and then its end. It fails where r does.
func feed(ctx context.Context, guest cell.Cell, r io.ReadCloser, buf []byte) error {
	defer func() { _ = r.Close() }()
	for {
		n, err := r.Read(buf)
		if n > 0 && send(ctx, guest, cell.BytesValue(bytes.Clone(buf[:n]))) != nil {
			return nil // the program has ended, or is to
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = send(ctx, guest, cell.Null())
			return nil
		case err != nil:
			return err
		}
	}
}

// send waits while the inbox is full.
func send(ctx context.Context, guest cell.Cell, v cell.Value) error {
	pause := time.NewTicker(time.Millisecond)
	defer pause.Stop()
	for {
		err := guest.Send(ctx, v)
		if !errors.Is(err, cell.Busy) {
			return err
		}
		select {
		case <-pause.C:
		case <-guest.Done():
			return cell.CellGone
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func asCellError(err error) (*cell.Error, bool) {
	var e *cell.Error
	ok := errors.As(err, &e)
	return e, ok
}
