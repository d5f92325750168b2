package ring

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Flags of rules.
const (
	rulesNetwork    = 1 // internet sockets
	rulesAllImports = 2 // "*"
)

// rulesHead is what every set of rules begins with: struct ring_rules.
const rulesHead = 32

// MaxRules bounds what EncodeRules returns.
const MaxRules = RulesSize - rulesHead + 8 // the flags and the length of the names are in the head

// Limits are those that the cell itself keeps.
type Limits struct {
	Memory                        int64 // bytes
	MessageBytes, Children, Files uint32
}

// EncodeRules writes what a cell's gate is to know of a policy and of the modules that the
// guest may name. It fails when that is more than MaxRules bytes.
func EncodeRules(p policy.Policy, imports []string) ([]byte, error) {
	var flags uint32
	if p.Connects() {
		flags |= rulesNetwork
	}
	if slices.Contains(imports, "*") {
		flags |= rulesAllImports
	}
	var names []byte
	for _, name := range imports {
		if name != "*" {
			names = append(append(names, name...), 0)
		}
	}
	b := binary.LittleEndian.AppendUint32(nil, flags)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(names)))
	b = append(b, names...)
	for _, r := range p.Files {
		b = append(b, byte(r.Access), 0)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Path)))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Glob)))
		b = append(append(b, r.Path...), r.Glob...)
	}
	if len(b) > MaxRules {
		return nil, fmt.Errorf("ring: the paths and modules of the policy take %d bytes; %d are possible", len(b), MaxRules)
	}
	return b, nil
}

// SetWorker gives the region's cell its number with the node. It is called before the region
// is given to an executor.
func (r *Region) SetWorker(n uint64) { r.long(offWorker).Store(n) }

// SetTrace gives the cell the trace context of the operation whose frame is sent next. It is
// called while no operation runs. What is not as long as a traceparent is none.
func (r *Region) SetTrace(parent string) {
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	switch {
	case r.mem == nil:
	case len(parent) == traceBytes:
		copy(r.mem[offTrace:offTrace+traceBytes], parent)
	case r.mem[offTrace] != 0:
		r.mem[offTrace] = 0
	}
}

// SetRules replaces what the cell's gate goes by: rules of EncodeRules, and limits. Each of
// its checks sees the old ones or the new ones, whole. Without rules nothing is permitted.
func (r *Region) SetRules(l Limits, rules []byte) error {
	if len(rules) > MaxRules {
		return fmt.Errorf("ring: rules of %d bytes; %d are possible", len(rules), MaxRules)
	}
	if len(rules) == 0 {
		rules = make([]byte, 8)
	}
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return ErrClosed
	}
	r.ctl.Lock()
	defer r.ctl.Unlock()
	r.replaced++
	room := r.rules[r.replaced&1]
	head := binary.LittleEndian.AppendUint32(room[:0], uint32(rulesHead-8+len(rules)))
	for _, n := range []uint32{l.MessageBytes, l.Children, l.Files} {
		head = binary.LittleEndian.AppendUint32(head, n)
	}
	head = binary.LittleEndian.AppendUint64(head, uint64(l.Memory))
	copy(room[len(head):], rules)
	r.long(offRules).Store(r.replaced)
	return nil
}
