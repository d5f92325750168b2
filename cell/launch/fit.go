package launch

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/ring"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// fit is what a policy needs of a host that is settled when the host starts: cells that
// differ in it do not share one. The zero fit is that of cells without a policy.
type fit struct {
	// network: the host has the node's network, and its cells may have internet sockets.
	network bool
	// writes: its cells may make files, and files may grow.
	writes bool
	// rules are a hash of the policy, where layers hold it that cannot be changed.
	rules [sha256.Size]byte
}

// namespaces are those of the wanted ones that leave a cell what it needs.
func (f fit) namespaces(wanted uint64) uint64 {
	if f.network {
		return wanted &^ unix.CLONE_NEWNET
	}
	return wanted
}

// ruling is a cell's policy and what comes of it before there is a host.
type ruling struct {
	fit    fit
	policy policy.Policy
	gate   []byte // the rules for the guest's gate
}

// rule works out what a policy needs.
func rule(spec cell.Spec) (ruling, error) {
	if spec.Policy == nil {
		return ruling{}, nil
	}
	p := *spec.Policy
	p.Children = spec.Limits.Children
	gate, err := ring.EncodeRules(p)
	if err != nil {
		return ruling{}, cell.Errorf(cell.Invalid, "policy: %v", err)
	}
	r := ruling{fit: fit{network: p.Connects(), writes: p.Writes()}, policy: p, gate: gate}
	text, err := json.Marshal(policy.Policy{Files: p.Files, Net: p.Net})
	if err != nil {
		return ruling{}, fmt.Errorf("launch: hash a policy: %w", err)
	}
	r.fit.rules = sha256.Sum256(text)
	return r, nil
}
