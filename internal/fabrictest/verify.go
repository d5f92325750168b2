package fabrictest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// Verify holds the nodes, after Converge, against what clients were told: each put that was
// acknowledged is in the history that each node has, all have the same log of who did what, and
// every cell's name can be taken again, with an epoch above all that were seen, and be called from
// every node. What it finds out about puts of unknown outcome it adds to the history.
func (f *Fabric) Verify(ctx context.Context, h *History) error {
	h.mu.Lock()
	puts := map[string]map[uint64]string{}
	for _, c := range h.policies {
		if c.Write && c.Outcome == Done {
			if puts[c.Policy] == nil {
				puts[c.Policy] = map[uint64]string{}
			}
			puts[c.Policy][c.Number] = c.Text
		}
	}
	epochs := map[string]uint64{}
	for _, s := range h.spawns {
		epochs[s.Cell] = max(epochs[s.Cell], s.Epoch)
	}
	for _, c := range h.counts {
		epochs[c.Cell] = max(epochs[c.Cell], c.Epoch)
	}
	h.mu.Unlock()
	var wrong []error
	versions := map[string]map[uint64][]byte{}
	heads := map[string]string{}
	for _, n := range f.Nodes {
		for name, texts := range puts {
			all, err := n.versions(ctx, name)
			if wrong = append(wrong, err); err == nil {
				versions[name] = all
				wrong = append(wrong, n.has(name, texts, all))
			}
		}
		answer, err := n.Client.Policies.VerifyAudit(ctx, connect.NewRequest(&pb.VerifyAuditRequest{}))
		if err != nil {
			wrong = append(wrong, fmt.Errorf("the audit of %s: %w", n.Name, err))
			continue
		}
		heads[fmt.Sprintf("%x", answer.Msg.GetHead())] = n.Name
	}
	h.resolve(versions)
	if len(heads) > 1 {
		wrong = append(wrong, fmt.Errorf("nodes have different audits: %v", heads))
	}
	for name, epoch := range epochs {
		wrong = append(wrong, f.again(ctx, name, epoch))
	}
	return errors.Join(wrong...)
}

// versions of a policy that a node knows, by their numbers: the hashes of their texts.
func (n *Node) versions(ctx context.Context, policy string) (map[uint64][]byte, error) {
	found := map[uint64][]byte{}
	for before := uint64(0); ; {
		answer, err := n.Client.Policies.History(ctx, connect.NewRequest(&pb.HistoryRequest{Name: policy, Before: before, Limit: 1000}))
		if err != nil {
			return nil, fmt.Errorf("history of %s on %s: %w", policy, n.Name, err)
		}
		for _, v := range answer.Msg.GetVersions() {
			found[v.GetNumber()], before = v.GetHash(), v.GetNumber()
		}
		if len(answer.Msg.GetVersions()) == 0 || before == 1 {
			return found, nil
		}
	}
}

// has holds what a node knows against what was acknowledged.
func (n *Node) has(policy string, texts map[uint64]string, found map[uint64][]byte) error {
	for number, text := range texts {
		if sum := sha256.Sum256([]byte(text)); string(found[number]) != string(sum[:]) {
			return fmt.Errorf("version %d of %s, which was acknowledged, is not on %s", number, policy, n.Name)
		}
	}
	return nil
}

// again has a cell of the name end and start again.
func (f *Fabric) again(ctx context.Context, name string, above uint64) error {
	if _, err := f.Nodes[0].Client.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: name})); err != nil && kindOf(err) != "NotFound" && kindOf(err) != "CellGone" {
		return fmt.Errorf("close %s: %w", name, err)
	}
	answer, err := f.Nodes[0].Client.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: name}))
	if err != nil {
		return fmt.Errorf("spawn %s again: %w", name, err)
	}
	r := answer.Msg.GetReport()
	if r.GetEpoch() <= above {
		return fmt.Errorf("the new %s has epoch %d, and %d was there before", name, r.GetEpoch(), above)
	}
	for _, n := range f.Nodes {
		called, err := n.Client.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: name, Target: "abs", Args: "[-7]"}))
		if err != nil || called.Msg.GetValue().GetJson() != "7" {
			return fmt.Errorf("call %s, which runs on %s, from %s: %v, %w", name, r.GetNode(), n.Name, called, err)
		}
	}
	if _, err := f.Nodes[len(f.Nodes)-1].Client.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: name})); err != nil {
		return fmt.Errorf("close %s from another node: %w", name, err)
	}
	return nil
}
