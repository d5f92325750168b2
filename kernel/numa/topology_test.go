package numa

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

func all(int) bool { return true }

// fixture writes a directory as /sys/devices/system/node is, from its files' texts.
func fixture(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// meminfo is that of a node, as Linux 6 writes it.
func meminfo(node, total, free int) string {
	return fmt.Sprintf("Node %[1]d MemTotal:       %[2]d kB\nNode %[1]d MemFree:        %[3]d kB\nNode %[1]d MemUsed:        %[4]d kB\nNode %[1]d HugePages_Total:     0\n",
		node, total, free, total-free)
}

func TestRead(t *testing.T) {
	four := map[string]string{"online": "0-3\n"}
	for n, cpus := range []string{"0-1,8-9\n", "2-3,10-11\n", "4-5,12-13\n", "6-7,14-15\n"} {
		four[fmt.Sprintf("node%d/cpulist", n)] = cpus
		four[fmt.Sprintf("node%d/meminfo", n)] = meminfo(n, 1024, 512+n)
	}
	for name, c := range map[string]struct {
		files map[string]string
		may   allowed
		want  []Node
	}{
		"one": {map[string]string{"online": "0\n", "node0/cpulist": "0-1\n", "node0/meminfo": meminfo(0, 4, 3)}, allowed{all, all},
			[]Node{{0, []int{0, 1}, 4096, 3072}}},
		"two, of which one has no processors": {map[string]string{"online": "0-1\n", "node0/cpulist": "0-3\n", "node0/meminfo": meminfo(0, 4, 3),
			"node1/cpulist": "\n", "node1/meminfo": meminfo(1, 8, 8)}, allowed{all, all},
			[]Node{{0, []int{0, 1, 2, 3}, 4096, 3072}, {1, nil, 8192, 8192}}},
		"holes": {map[string]string{"online": "0,2\n", "possible": "0-3\n", "node0/cpulist": "0,2\n", "node0/meminfo": meminfo(0, 4, 3),
			"node2/cpulist": "5\n", "node2/meminfo": meminfo(2, 0, 0)}, allowed{all, all},
			[]Node{{0, []int{0, 2}, 4096, 3072}, {2, []int{5}, 0, 0}}},
		"four, all of them": {four, allowed{all, all}, []Node{{0, []int{0, 1, 8, 9}, 1 << 20, 512 << 10}, {1, []int{2, 3, 10, 11}, 1 << 20, 513 << 10},
			{2, []int{4, 5, 12, 13}, 1 << 20, 514 << 10}, {3, []int{6, 7, 14, 15}, 1 << 20, 515 << 10}}},
		"four, part of them": {four, allowed{func(cpu int) bool { return cpu < 4 && cpu != 3 }, func(node int) bool { return node == 1 }},
			[]Node{{0, []int{0, 1}, 0, 0}, {1, []int{2}, 1 << 20, 513 << 10}, {2, []int{}, 0, 0}, {3, []int{}, 0, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(fixture(t, c.files), c.may)
			if diff := cmp.Diff(c.want, got.Nodes); err != nil || diff != "" {
				t.Errorf("%v, %s", err, diff)
			}
		})
	}
}

func TestReadWhatIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		files       map[string]string
		unsupported bool
	}{
		"no nodes in the kernel":   {nil, true},
		"none online":              {map[string]string{"online": "\n"}, true},
		"a node that is not there": {map[string]string{"online": "0-1\n", "node0/cpulist": "0\n", "node0/meminfo": meminfo(0, 1, 1)}, false},
		"no memory told":           {map[string]string{"online": "0\n", "node0/cpulist": "0\n", "node0/meminfo": "Node 0 MemTotal: 1 kB\n"}, false},
		"memory in other units":    {map[string]string{"online": "0\n", "node0/cpulist": "0\n", "node0/meminfo": "Node 0 MemTotal: 1 MB\n"}, false},
		"no list":                  {map[string]string{"online": "all\n"}, false},
		"an endless file":          {map[string]string{"online": strings.Repeat("0", maxFile+1)}, false},
		"too many":                 {map[string]string{"online": "0-1024\n"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := read(fixture(t, c.files), allowed{all, all})
			if err == nil || errors.Is(err, ErrUnsupported) != c.unsupported {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func TestParseList(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "\n": nil, "0": {0}, "0-2,5\n": {0, 1, 2, 5}, "7,9-9": {7, 9}} {
		if got, err := parseList(text, 10); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"a", "1-", "-1", "2-1", "1,1", "3,2", "0-3,2", "0,", ",", "10", "0-10", "1 2", "+1", "0x1", "1-2-3", "99999999999999999999", "\n\n"} {
		if got, err := parseList(text, 10); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, text := range []string{"0-3,8\n", "", "1,1", "8191", "0-65535"} {
		f.Add(text, 64)
	}
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = max(0, min(limit, maxCPUs))
		list, err := parseList(text, limit)
		if err != nil {
			return
		}
		if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("%q: %v", text, list)
		}
		if len(list) > 0 && (list[0] < 0 || list[len(list)-1] >= limit) {
			t.Errorf("%q: %v, not below %d", text, list, limit)
		}
	})
}

func FuzzParseMemory(f *testing.F) {
	f.Add(meminfo(0, 1024, 512))
	f.Add("Node 0 MemTotal: 4503599627370496 kB\nNode 0 MemFree: 1 kB")
	f.Fuzz(func(t *testing.T, text string) {
		if total, free, err := parseMemory(text); err == nil && (total < 0 || free < 0) {
			t.Errorf("%q: %d, %d", text, total, free)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	for b.Loop() {
		if _, err := Read(); err != nil {
			b.Skip(err)
		}
	}
}
