package launch

import (
	"cmp"
	"errors"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/numa"
)

// anywhere is where hosts are that no node of the machine is chosen for.
const anywhere = -1

// machine places hosts on the machine's nodes, one host a tenant and node.
type machine struct {
	numa.Topology
	unknown error // why the nodes are not known
}

func readMachine() machine {
	t, err := numa.Read()
	return machine{t, err}
}

// placement reads what a spec or the configuration says. On a machine of one node, and where
// the kernel tells of none, hosts of no particular node are anywhere.
func (m machine) placement(text string) (p numa.Placement, choose bool, err error) {
	if m.unknown != nil {
		if text == "auto" || text == "" {
			return p, false, nil
		}
		return p, false, cell.Errorf(cell.Invalid, "placement %q: %v", text, m.unknown)
	}
	p, err = m.ParsePlacement(cmp.Or(text, "auto"))
	if err != nil {
		return p, false, cell.Errorf(cell.Invalid, "placement: %v", err)
	}
	return p, len(m.Nodes) > 1 || p != numa.Placement{}, nil
}

// nodeFor chooses the node of a cell's host: that of the tenant's host, if there is one that
// will do.
func (l *Launcher) nodeFor(spec cell.Spec, f fit) (int, error) {
	p, choose, err := l.machine.placement(cmp.Or(spec.NUMA, l.config.NUMA))
	if err != nil || !choose {
		return anywhere, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	hosts := map[int]int{}
	for key := range l.places {
		if key.tenant == spec.Tenant && key.backend == spec.Backend && key.fit == f && p == (numa.Placement{}) {
			return key.node, nil
		}
		hosts[key.node]++
	}
	n, err := l.machine.Pick(p, hosts)
	if err != nil {
		return anywhere, cell.Errorf(cell.Invalid, "placement: %v", err)
	}
	return n.ID, nil
}

// on calls f where a host of the node is to be started from.
func (m machine) on(node int, f func() error) error {
	if node == anywhere {
		return f()
	}
	if m.unknown != nil {
		return errors.Join(errors.New("launch: there are no nodes"), m.unknown)
	}
	return m.On(node, f)
}
