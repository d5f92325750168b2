package numa

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

var (
	// ErrUnsupported: the kernel does not tell of nodes.
	ErrUnsupported = errors.New("numa: this kernel does not tell of nodes")
	// ErrNoNode: there is no such node, or it has no processor for this process.
	ErrNoNode = errors.New("numa: no such node")
)

// Node is one that is online.
type Node struct {
	ID int
	// CPUs are its processors that are online and that this process may use, ascending;
	// none for a node of memory only.
	CPUs []int
	// Memory and Free are in bytes. Both are 0 for a node without memory, and where this
	// process may not use it.
	Memory, Free int64
}

// Topology is the machine's nodes, ascending.
type Topology struct {
	Nodes []Node
}

const sysNodes = "/sys/devices/system/node"

// What the kernel can be built for, at most.
const (
	maxCPUs  = 8192
	maxNodes = 1024
)

// Read looks the nodes up. Which processors this process may use is asked for at the first
// call. ErrUnsupported where the kernel was built without them.
func Read() (Topology, error) {
	may, err := allowedHere()
	if err != nil {
		return Topology{}, err
	}
	return read(sysNodes, may)
}

// allowed is what the process may use.
type allowed struct {
	cpu, memory func(number int) bool
}

func read(root string, may allowed) (Topology, error) {
	online, err := readList(filepath.Join(root, "online"), maxNodes)
	if errors.Is(err, fs.ErrNotExist) {
		return Topology{}, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	if err != nil {
		return Topology{}, err
	}
	var t Topology
	for _, id := range online {
		n, err := readNode(root, id, may)
		if err != nil {
			return Topology{}, err
		}
		t.Nodes = append(t.Nodes, n)
	}
	if len(t.Nodes) == 0 {
		return Topology{}, fmt.Errorf("%w: no node is online", ErrUnsupported)
	}
	return t, nil
}

func readNode(root string, id int, may allowed) (Node, error) {
	dir := filepath.Join(root, "node"+strconv.Itoa(id))
	cpus, err := readList(filepath.Join(dir, "cpulist"), maxCPUs)
	if err != nil {
		return Node{}, err
	}
	n := Node{ID: id, CPUs: slices.DeleteFunc(cpus, func(cpu int) bool { return !may.cpu(cpu) })}
	if !may.memory(id) {
		return n, nil
	}
	text, err := readFile(filepath.Join(dir, "meminfo"))
	if err != nil {
		return Node{}, err
	}
	if n.Memory, n.Free, err = parseMemory(text); err != nil {
		return Node{}, fmt.Errorf("numa: %s: %w", filepath.Join(dir, "meminfo"), err)
	}
	return n, nil
}

// maxFile bounds what is read of a file; a list of every second of 8192 processors has 40 kB.
const maxFile = 64 << 10

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("numa: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("numa: %w", err)
	}
	if len(data) > maxFile {
		return "", fmt.Errorf("numa: %s has more than %d bytes", path, maxFile)
	}
	return string(data), nil
}

func readList(path string, limit int) ([]int, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	list, err := parseList(text, limit)
	if err != nil {
		return nil, fmt.Errorf("numa: %s: %w", path, err)
	}
	return list, nil
}

// parseList takes a list as the kernel writes it, "0-3,8": numbers below limit, ascending.
func parseList(text string, limit int) ([]int, error) {
	text = strings.TrimSuffix(text, "\n")
	if text == "" {
		return nil, nil
	}
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		from, to, span := strings.Cut(part, "-")
		first, err := strconv.ParseUint(from, 10, 16)
		last := first
		if err == nil && span {
			last, err = strconv.ParseUint(to, 10, 16)
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("%.20q is not a number or two with a dash between", part)
		case last < first || int(last) >= limit:
			return nil, fmt.Errorf("%q: numbers go up, and are below %d", part, limit)
		case len(list) > 0 && int(first) <= list[len(list)-1]:
			return nil, fmt.Errorf("%q comes after %d", part, list[len(list)-1])
		}
		for n := int(first); n <= int(last); n++ {
			list = append(list, n)
		}
	}
	return list, nil
}

// parseMemory takes total and free out of a node's meminfo, in bytes.
func parseMemory(text string) (total, free int64, err error) {
	found := map[string]int64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line) // Node 0 MemTotal: 123 kB
		if len(f) != 5 || (f[2] != "MemTotal:" && f[2] != "MemFree:") {
			continue
		}
		kilobytes, err := strconv.ParseUint(f[3], 10, 52)
		if err != nil || f[4] != "kB" {
			return 0, 0, fmt.Errorf("%.60q is not an amount of kilobytes", strings.TrimSpace(line))
		}
		found[f[2]] = int64(kilobytes) << 10
	}
	if len(found) != 2 {
		return 0, 0, errors.New("it does not tell MemTotal and MemFree")
	}
	return found["MemTotal:"], found["MemFree:"], nil
}
