package server

import (
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// limitsOf reads what a client asks for.
func limitsOf(l *pb.Limits) (cell.Limits, error) {
	out := cell.Limits{Memory: l.GetMemory(), CPU: l.GetCpu().AsDuration(), Wall: l.GetWall().AsDuration(), Output: l.GetOutput(),
		Files: int(l.GetFiles()), MessageBytes: int(l.GetMessage())}
	if err := out.WithDefaults().Validate(); err != nil {
		return out, err
	}
	return out, nil
}

func limitsTo(l cell.Limits) *pb.Limits {
	out := &pb.Limits{Memory: l.Memory, Output: l.Output, Files: int32(l.Files), Message: int64(l.MessageBytes)}
	for _, f := range []struct {
		to   **durationpb.Duration
		from time.Duration
	}{{&out.Cpu, l.CPU}, {&out.Wall, l.Wall}} {
		if f.from > 0 {
			*f.to = durationpb.New(f.from)
		}
	}
	return out
}

// narrow makes of what a policy gives what the cell gets. What it does not give is an error
// where there is a strict client to be told; in a policy's later versions it is left out.
func (t terms) narrow(imports *[]string, limits *cell.Limits, policy *document.Compiled, strict bool) error {
	if err := t.narrowLimits(limits, strict); err != nil || t.imports == nil {
		return err
	}
	kept := []string{}
	for _, name := range t.imports {
		switch {
		case policy.Explain(document.Query{Import: name}).Allowed:
			kept = append(kept, name)
		case strict:
			return cell.Errorf(cell.PolicyDenied, "import %s: policy %s does not permit it", name, t.ref)
		}
	}
	*imports = kept
	return nil
}

// mayHave permits the backend that the client chose: none is weaker than the policy's, and weaker
// than the node's only one that the policy names, or that who may write policies chose.
func (t terms) mayHave(policy, node cell.Backend) error {
	switch {
	case t.backend == "":
	case document.Stronger(policy, t.backend):
		return cell.Errorf(cell.PolicyDenied, "backend %s: policy %s wants at least %s", t.backend, t.ref, policy)
	case document.Stronger(node, t.backend) && policy != t.backend && !t.weaken:
		return cell.Errorf(cell.PolicyDenied, "backend %s: this node's is %s; a weaker one has to be named by policy %s, or chosen by a %s",
			t.backend, node, t.ref, policystore.PolicyAdmin)
	}
	return nil
}

func (t terms) narrowLimits(limits *cell.Limits, strict bool) error {
	l, asked := limits.WithDefaults(), t.limits
	for _, f := range []struct {
		name   string
		given  int64 // 0: unlimited
		asked  int64 // 0: as it is given
		say    func(int64) string
		accept func(int64)
	}{
		{"memory", l.Memory, asked.Memory, cell.InBytes, func(n int64) { l.Memory = n }},
		{"cpu", int64(l.CPU), int64(asked.CPU), cell.InTime, func(n int64) { l.CPU = time.Duration(n) }},
		{"wall", int64(l.Wall), int64(asked.Wall), cell.InTime, func(n int64) { l.Wall = time.Duration(n) }},
		{"output", l.Output, asked.Output, cell.InBytes, func(n int64) { l.Output = n }},
		{"files", int64(l.Files), int64(asked.Files), cell.InNumber, func(n int64) { l.Files = int(n) }},
		{"message", int64(l.MessageBytes), int64(asked.MessageBytes), cell.InBytes, func(n int64) { l.MessageBytes = int(n) }},
	} {
		switch {
		case f.asked == 0 || f.asked == f.given:
		case f.given == 0 || f.asked < f.given:
			f.accept(f.asked)
		case strict:
			return cell.Errorf(cell.PolicyDenied, "limit %s is %s; policy %s gives %s", f.name, f.say(f.asked), t.ref, f.say(f.given))
		}
	}
	if asked != (cell.Limits{}) {
		*limits = l
	}
	return nil
}
