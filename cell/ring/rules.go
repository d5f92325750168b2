package ring

import (
	"encoding/binary"
	"fmt"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// rulesNetwork is the flag that permits internet sockets.
const rulesNetwork = 1

// EncodeRules writes what a cell's gate is to know of a policy. It fails when that is more
// than RulesSize bytes.
func EncodeRules(p policy.Policy) ([]byte, error) {
	b := []byte{0}
	if p.Connects() {
		b[0] = rulesNetwork
	}
	for _, r := range p.Files {
		b = append(b, byte(r.Access))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(r.Path)))
		b = append(b, r.Path...)
	}
	if len(b) > RulesSize {
		return nil, fmt.Errorf("ring: the paths of the policy take %d bytes; %d are possible", len(b), RulesSize)
	}
	return b, nil
}

// SetWorker gives the region's cell its number with the node. It is called before the region
// is given to an executor.
func (r *Region) SetWorker(n uint64) { r.long(offWorker).Store(n) }

// SetRules replaces the rules that the cell's gate goes by. The cell sees the old ones or
// the new ones, whole.
func (r *Region) SetRules(rules []byte) error {
	if len(rules) > RulesSize {
		return fmt.Errorf("ring: rules of %d bytes; %d are possible", len(rules), RulesSize)
	}
	r.mapped.RLock()
	defer r.mapped.RUnlock()
	if r.mem == nil {
		return ErrClosed
	}
	r.ctl.Lock()
	defer r.ctl.Unlock()
	seq := r.word(offRulesSeq)
	seq.Add(1) // odd: being written
	copy(r.rules, rules)
	r.word(offRulesLen).Store(uint32(len(rules)))
	seq.Add(1)
	return nil
}
