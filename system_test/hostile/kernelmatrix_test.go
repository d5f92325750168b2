package hostile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// kernelFile has what a machine with eBPF-LSM found: its tests write on a serial line, from
// which `make test-kernel VMFLAGS=-update` takes it.
const kernelFile = "testdata/kernel.json"

// kernelRun is what came of the kernel's part of the suite on one kernel.
type kernelRun struct {
	// Kernel is its version, as 6.12.
	Kernel   string   `json:"kernel"`
	Outcomes outcomes `json:"outcomes"`
}

func readKernelRun(t *testing.T) (r kernelRun) {
	t.Helper()
	text, err := os.ReadFile(kernelFile)
	if errors.Is(err, fs.ErrNotExist) {
		return kernelRun{}
	}
	must(t, err)
	must(t, json.Unmarshal(text, &r))
	return r
}

// kernelVersion is the first two numbers of this one's.
func kernelVersion() string {
	var u unix.Utsname
	_ = unix.Uname(&u) // fails only for a bad address
	release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return strings.Join(release[:min(2, len(release))], ".")
}

// compareKernel prints the outcomes, and compares them where they are of the kernel that
// the committed ones are of.
func (o outcomes) compareKernel(t *testing.T, p plan) {
	t.Helper()
	found := kernelRun{kernelVersion(), o}
	text, err := json.Marshal(found)
	must(t, err)
	fmt.Printf("\n%s\n", text)
	want := readKernelRun(t)
	if *update || guards[p.columns[0].stack] != guards[lsm] || want.Kernel != found.Kernel {
		return
	}
	maps.DeleteFunc(want.Outcomes, func(key, _ string) bool { return !o.has(key) })
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("%s is not what this kernel does (-committed +found); renew it with make test-kernel VMFLAGS=-update\n%s", kernelFile, diff)
	}
}

// has reports whether the column of an outcome was run.
func (o outcomes) has(key string) bool {
	_, column := path.Split(key)
	for other := range o {
		if strings.HasSuffix(other, "/"+column) {
			return true
		}
	}
	return false
}

const kernelHeader = `# With eBPF-LSM

What came of the techniques that the kernel has to do with on Linux %s, in a virtual machine
(` + "`make test-kernel`" + `; ` + "`VMFLAGS=-update`" + ` renews it), where the node's programs are called at
the kernel's security hooks. No policy permits these cells anything but Python itself.

| column | what holds |
|---|---|
| bpf-lsm | gate, and the node's programs in the LSM: nothing else of the kernel's |
| all | everything: gate, namespaces, Landlock, system-call filter, the node's programs |

A dash: bpf-lsm alone holds it, so that it is not tried with more on. Why something gets through
is said with the same technique above.
`

// kernelText is the last part of docs/hostile-matrix.md.
func kernelText(t *testing.T) string {
	t.Helper()
	r := readKernelRun(t)
	var b strings.Builder
	fmt.Fprintf(&b, kernelHeader, r.Kernel)
	for _, f := range familiesOf(kernelFamilies) {
		fmt.Fprintf(&b, "\n## %s, with eBPF-LSM\n\n", f.title)
		table(&b, f, columnsOf(lsm, all), r.Outcomes)
	}
	return b.String()
}

// TestKernelMatrix: the document has what the machine found.
func TestKernelMatrix(t *testing.T) {
	text, err := os.ReadFile(matrixFile)
	if err != nil {
		t.Skipf("the document is not here: %v", err)
	}
	if readKernelRun(t).Kernel == "" {
		t.Skip("no outcomes of such a machine are committed")
	}
	if !strings.HasSuffix(string(text), kernelText(t)) {
		t.Errorf("docs/hostile-matrix.md does not end with what %s says; renew it with go test ./system_test/hostile -run TestHostile -update", kernelFile)
	}
}
