package hostile

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

const matrixFile = "../../docs/hostile-matrix.md"

// matrix is what came of every probe in every column of a plan.
type matrix struct {
	sync.Mutex
	plan    plan
	outcome outcomes
	lacks   []string // layers that this machine has not
}

// outcomes are words, by family/probe/column.
type outcomes map[string]string

func newMatrix(p plan) *matrix { return &matrix{plan: p, outcome: outcomes{}} }

func (o outcomes) of(f family, p probe, c column) string {
	return o[f.name+"/"+p.name+"/"+c.String()]
}

func (m *matrix) set(family, probe string, c column, outcome string) {
	m.Lock()
	defer m.Unlock()
	if m.plan.kernel && outcome == limited {
		outcome = held // none of its limits is tried: the machine was slow
	}
	m.outcome[family+"/"+probe+"/"+c.String()] = outcome
}

// found notes what the kernel does not give: the committed matrix is of one that gives all.
func (m *matrix) found(t *testing.T, c column, any cell.Cell) error {
	t.Helper()
	r, err := any.Inspect(soon(t))
	if err != nil || !c.filtered() {
		return err
	}
	for _, layer := range r.Confinement.Layers {
		if (layer.Name == string(stack.Landlock) || layer.Name == string(stack.Seccomp)) && !layer.Active {
			m.lacks = append(m.lacks, fmt.Sprintf("%s: %s", layer.Name, layer.Evidence))
		}
	}
	if c.stack == dev && len(r.Namespaces) == 0 && c.backend == cell.Process {
		m.lacks = append(m.lacks, "namespaces")
	}
	if runtime.GOARCH != "amd64" {
		m.lacks = append(m.lacks, "the processor that system calls are written for here")
	}
	if os.Getuid() != 0 {
		m.lacks = append(m.lacks, "root, and so a user for each cell")
	}
	return nil
}

func (m *matrix) compare(t *testing.T) {
	if t.Failed() {
		return // a matrix of a failed run says nothing
	}
	for _, f := range m.plan.families {
		for _, p := range f.probes {
			for _, c := range m.plan.columns {
				if guards[c.stack] == "" && m.plan.tries(p, c) && m.outcome.of(f, p, c) == "" {
					t.Skipf("not all probes were run: %s/%s was not", f.name, p.name)
				}
			}
		}
	}
	if m.plan.kernel {
		m.outcome.compareKernel(t, m.plan)
		return
	}
	if len(m.lacks) > 0 {
		t.Skipf("the probes were judged; the matrix is of machines that have what this lacks: %s", strings.Join(m.lacks, "; "))
	}
	text := m.text(t)
	if *update {
		must(t, os.WriteFile(matrixFile, []byte(text), 0o600))
		return
	}
	want, err := os.ReadFile(matrixFile)
	must(t, err)
	if diff := gocmp.Diff(timeless(string(want)), timeless(text)); diff != "" {
		t.Errorf("docs/hostile-matrix.md is not what this run found (-committed +found); renew it with go test ./system_test/hostile -run TestHostile -update\n%s", diff)
	}
}

// timeless is the matrix without what a busy machine changes: whether a probe that is held
// came to its own end before its limit.
func timeless(matrix string) string {
	return strings.ReplaceAll(matrix, " "+limited+" |", " "+held+" |")
}

func (m *matrix) text(t *testing.T) string {
	var b strings.Builder
	count := 0
	for _, f := range families {
		count += len(f.probes)
	}
	fmt.Fprintf(&b, header, count, len(families))
	for _, f := range m.plan.families {
		fmt.Fprintf(&b, "\n## %s\n\n", f.title)
		table(&b, f, m.plan.columns, m.outcome)
		reasons(&b, f)
	}
	return strings.TrimRight(b.String(), "\n") + "\n\n" + kernelText(t)
}

func table(b *strings.Builder, f family, columns []column, o outcomes) {
	b.WriteString("| technique |")
	last := cell.Backend("")
	for _, c := range columns {
		if c.backend != last {
			fmt.Fprintf(b, " `%s`", c.backend)
			last = c.backend
		}
		fmt.Fprintf(b, " %s |", c.stack)
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(columns)) + "|\n")
	for _, p := range f.probes {
		fmt.Fprintf(b, "| `%s`: %s |", p.name, strings.ReplaceAll(p.what, "|", `\|`))
		for _, c := range columns {
			fmt.Fprintf(b, " %s |", cmp.Or(o.of(f, p, c), "–"))
		}
		b.WriteString("\n")
	}
}

// reasons say why what gets through does.
func reasons(b *strings.Builder, f family) {
	for _, p := range f.probes {
		for _, w := range p.through {
			where := strings.TrimSpace(string(w.backend) + " " + strings.Join(w.stacks, ", "))
			if where == "" {
				where = "everywhere"
			}
			fmt.Fprintf(b, "\n- `%s` gets through (%s): %s.", p.name, where, w.why)
		}
	}
	b.WriteString("\n")
}

const header = `# Hostile matrix

What came of %d techniques in %d families, each tried in a cell of its own. Written by
` + "`go test ./system_test/hostile -run TestHostile -update`" + `; the test fails when a run finds
something else, a limit that was or was not needed aside. Do not edit it.

A probe is judged by canaries outside of the guest, never by an exception: a secret file
that must not be posted, files that must not change, TCP, UDP and Unix sockets that must not
be reached, a process that must live, the values of another cell of the tenant and the
answers of another tenant's, and what the processes use. What ends a process of its own cell alone no
canary notices: such a probe says when it has what no guest may have, as code of its own making.

| column | what holds |
|---|---|
| dev | everything: gate, namespaces, Landlock, system-call filter |
| bare | the same without namespaces (` + "`NoNamespaces`" + `) |
| gate | what is above the kernel alone (` + "`compatibility`, `NoNamespaces`" + `) |
| cgroup-bpf | gate, and the node's programs in the host's control group, which judge addresses |

What eBPF-LSM programs hold is tried on another kernel: the last part of this page. The node is
root here, so that a process cell has a user of its own in all columns.

| word | meaning |
|---|---|
| held | no canary noticed it |
| held by limit | the same, and a limit of the cell ended it |
| **gets through** | a canary noticed; the reason is below the table |
| n/a | it makes no sense there |

Techniques of guests with corrupted memory are system calls that the test makes on the
cell's own thread, past Python. In ` + "`subinterpreter`" + ` such a guest can also act through the
threads of its host that have no Landlock rules: the rows that say "another thread" are those. A
call that ends its process counts as held; there, it ends all cells of its tenant. Where no
canary would notice a call, the kernel must refuse it; without a filter of system calls that is
nothing to ask for, hence n/a under gate and under programs alone. All traffic stays on this
machine, so that metadata addresses are not tried. What a guest learns by timing is not tried
either: it gets through.
`
