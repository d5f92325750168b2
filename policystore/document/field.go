package document

import (
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

//go:generate go test . -run TestReference -update

// field is the value of one key of a sandbox. Its Go type is its syntax.
type field interface {
	// decode reads a value and reports what is wrong with it.
	decode(r *reporter, k *key, n *node)
	// encode is the value's canonical form; nil if the key was not given.
	encode() *node
	// inherit makes of a child's value the one in force: lists add, single values stay.
	inherit(parent field)
	// schema is a JSON Schema of what decode takes.
	schema(k *key) schema
}

// key is one key of a sandbox: what reads, prints and explains it.
type key struct {
	name string
	// of is the key's field in a sandbox.
	of func(*sandbox) field
	// least and most bound numbers, sizes in bytes and durations in nanoseconds. Of imports,
	// most is how many there may be.
	least, most int64
	// choices are the words there are.
	choices []string
	// doc says what it is, fallback what holds without it, layer who enforces it.
	doc, fallback, layer string
}

// The layers that enforce, in the words of docs/policy.md.
const (
	layerGate   = "guest's gate"
	layerHost   = "cell's host"
	layerKernel = "kernel"
	layerBoth   = "guest's gate and kernel"
	layerNode   = "node"
)

const (
	maxSize     = 1 << 46
	maxTotal    = 1 << 62
	maxCounter  = 1 << 40
	maxChildren = 1 << 16
)

// keys are those of a sandbox, in canonical order.
var keys = []*key{
	{name: "imports", of: func(s *sandbox) field { return &s.imports }, most: maxImports, layer: layerGate,
		doc: "modules that the guest may import, with their submodules; \"*\" for all except the forbidden ones", fallback: "none"},
	{name: "fs", of: func(s *sandbox) field { return &s.fs }, layer: layerBoth,
		doc: "rules for files", fallback: "read access to Python's own library"},
	{name: "net", of: func(s *sandbox) field { return &s.net }, layer: layerKernel,
		doc: "rules for networks", fallback: "no network"},
	{name: "backend", of: func(s *sandbox) field { return &s.backend }, layer: layerNode,
		choices: []string{string(cell.SubInterpreter), string(cell.Process)}, doc: "the weakest backend that the policy accepts", fallback: "any"},
	{name: "dialect", of: func(s *sandbox) field { return &s.dialect }, layer: layerHost,
		choices: []string{string(cell.Python), string(cell.Restricted)}, doc: "the language of the guest's programs", fallback: "the caller's choice"},
	{name: "mem", of: func(s *sandbox) field { return &s.mem }, least: cell.MinMemory, most: maxSize, layer: layerHost,
		doc: "memory that the guest may hold", fallback: FormatSize(cell.DefaultMemory)},
	{name: "cpu", of: func(s *sandbox) field { return &s.cpu }, layer: layerHost,
		doc: "processor time per window of wall time; using more ends the running operation", fallback: "unlimited"},
	{name: "cpu_ms", of: func(s *sandbox) field { return &s.cpuMS }, least: 1, most: int64(MaxDuration / time.Millisecond), layer: layerHost,
		doc: "processor time over the cell's whole life, in milliseconds", fallback: "unlimited"},
	{name: "wall", of: func(s *sandbox) field { return &s.wall }, least: int64(time.Millisecond), most: int64(MaxDuration), layer: layerHost,
		doc: "wall time of each operation", fallback: "unlimited"},
	{name: "output", of: func(s *sandbox) field { return &s.output }, least: 1, most: maxTotal, layer: layerHost,
		doc: "bytes posted, logged, measured and returned, in all", fallback: "unlimited"},
	{name: "message", of: func(s *sandbox) field { return &s.message }, least: 1 << 10, most: cell.MaxMessageBytes, layer: layerHost,
		doc: "size of one value or program", fallback: FormatSize(cell.DefaultMessageBytes)},
	{name: "queue", of: func(s *sandbox) field { return &s.queue }, least: 1, most: cell.MaxQueueItems, layer: layerHost,
		doc: "items in the inbox, and as many in the outbox", fallback: "1024"},
	{name: "files", of: func(s *sandbox) field { return &s.files }, least: 1, most: 1 << 20, layer: layerHost,
		doc: "files held open at once", fallback: "64"},
	{name: "children", of: func(s *sandbox) field { return &s.children }, least: 0, most: maxChildren, layer: layerBoth,
		doc: "threads besides the cell's own, also those that C libraries start; at most 256 are alive at once; never processes", fallback: "0"},
	{name: "opens", of: func(s *sandbox) field { return &s.opens }, least: 1, most: maxCounter, layer: layerKernel,
		doc: "files and directories opened, in all", fallback: "unlimited"},
	{name: "connects", of: func(s *sandbox) field { return &s.connects }, least: 1, most: maxCounter, layer: layerKernel,
		doc: "connections, and datagrams that name their receiver, in all", fallback: "unlimited"},
	{name: "sent", of: func(s *sandbox) field { return &s.sent }, least: 1, most: maxTotal, layer: layerKernel,
		doc: "bytes of IP packets sent, in all", fallback: "unlimited"},
	{name: "received", of: func(s *sandbox) field { return &s.received }, least: 1, most: maxTotal, layer: layerKernel,
		doc: "bytes of IP packets received, in all", fallback: "unlimited"},
	{name: "bandwidth", of: func(s *sandbox) field { return &s.bandwidth }, least: policy.MinBandwidth, most: maxTotal, layer: layerKernel,
		doc: "bytes of IP packets per second, each way; faster traffic is dropped, so that TCP slows down", fallback: "unlimited"},
	{name: "numa", of: func(s *sandbox) field { return &s.numa }, least: 0, most: 1023, layer: layerNode,
		doc: "the NUMA node that the cell runs on: its number, or auto", fallback: "the node's choice"},
	{name: "capabilities", of: func(s *sandbox) field { return &s.capabilities }, layer: layerNode,
		doc: "effects that the guest may request, see docs/capabilities.md", fallback: "none"},
	{name: "contracts", of: func(s *sandbox) field { return &s.contracts }, layer: layerKernel,
		doc: "assertions about what the cell does, see docs/contracts.md", fallback: "none"},
	{name: "restart", of: func(s *sandbox) field { return &s.restart }, layer: layerNode,
		doc: "what to do with a cell that ended by a fault", fallback: "nothing"},
	{name: "checkpoint", of: func(s *sandbox) field { return &s.checkpoint }, layer: layerNode,
		doc: "when to checkpoint the cell without being asked", fallback: "the node's settings"},
}

var keysByName = func() map[string]*key {
	m := map[string]*key{}
	for _, k := range keys {
		m[k.name] = k
	}
	return m
}()

// keyNames are those of a sandbox, with extends first.
func keyNames() []string {
	names := []string{"extends"}
	for _, k := range keys {
		names = append(names, k.name)
	}
	return names
}

// sandbox is one sandbox as written, or the defaults, or what comes of a chain of them.
type sandbox struct {
	name      string
	at        Pos
	extends   string
	extendsAt Pos

	imports                   imports
	fs                        fileRules
	net                       netRules
	backend, dialect          word
	mem, output, message      size
	sent, received            size
	cpu                       budget
	cpuMS, queue, files       count
	children, opens, connects count
	wall                      duration
	bandwidth                 rate
	numa                      placement
	capabilities              grants
	contracts                 contracts
	restart                   restart
	checkpoint                checkpoint
	extra                     []extra
}

// merge is a child over its parent.
func merge(parent, child *sandbox) *sandbox {
	merged := *child
	for _, k := range keys {
		k.of(&merged).inherit(k.of(parent))
	}
	merged.extra = mergeExtra(parent.extra, child.extra)
	return &merged
}
