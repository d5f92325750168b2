package server

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/turns"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// maxJudging is how many documents of clients are judged at once: the most expensive ones take
// a processor for a second.
const maxJudging = 2

// judge says what is wrong with documents, and what they permit. It stores nothing.
type judge struct {
	options document.Options
	turns   *turns.Turns
}

// turn is the caller's.
func (j *judge) turn(ctx context.Context) (done func(), err error) {
	return j.turns.Wait(ctx, holderOf(ctx))
}

// holderOf is whose turn the caller's is: those of a tenant have one together, and those for whom a node calls.
func holderOf(ctx context.Context) string {
	who := holdersOf(principalOf(ctx), peerOf(ctx).node)
	return who[len(who)-1]
}

func tooLong(text string) error {
	if len(text) > policystore.MaxText {
		return fmt.Errorf("%w: the document has %d bytes; %d is the most", policystore.ErrInvalid, len(text), policystore.MaxText)
	}
	return nil
}

// Check implements the call.
func (s *policies) Check(ctx context.Context, r *connect.Request[pb.CheckRequest]) (*connect.Response[pb.CheckResponse], error) {
	if err := tooLong(r.Msg.GetText()); err != nil {
		return nil, err
	}
	var base policystore.Version
	if r.Msg.GetBase() != "" {
		var err error
		if base, err = s.stored(ctx, r.Msg.GetBase(), r.Msg.GetNumber()); err != nil {
			return nil, err
		}
	}
	done, err := s.judge.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	out, err := s.judge.check(r.Msg.GetText(), base)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(out), nil
}

// stored is a version that the caller may read.
func (s *policies) stored(ctx context.Context, name string, number uint64) (policystore.Version, error) {
	if err := mayRead(ctx, name); err != nil {
		return policystore.Version{}, err
	}
	v, err := s.store.Get(ctx, name, number, policystore.Linearizable)
	if err == nil && v.Deleted {
		err = fmt.Errorf("%w: version %d of policy %s is a deletion", policystore.ErrNotFound, v.Number, name)
	}
	return v, err
}

// check compares with base, if that has a name.
func (j *judge) check(text string, base policystore.Version) (*pb.CheckResponse, error) {
	d, err := document.Parse("document", []byte(text))
	if err == nil {
		err = d.Check(j.options)
	}
	var problems document.Problems
	switch {
	case errors.As(err, &problems):
		return &pb.CheckResponse{Problems: fault.Detail(fmt.Errorf("%w: %w", policystore.ErrInvalid, err)).GetProblems()}, nil
	case err != nil:
		return nil, err
	}
	out := &pb.CheckResponse{Sandboxes: d.Sandboxes(), Number: base.Number}
	if base.Name == "" {
		return out, nil
	}
	before, err := document.Parse(base.Name, base.Text)
	if err == nil {
		out.Changes, err = j.compare(before, d)
	}
	if err != nil { // it was right when it was stored
		return nil, fmt.Errorf("%w: the base: %w", policystore.ErrInvalid, err)
	}
	return out, nil
}

// compare lists the sandboxes that differ. The only ones of both are compared whatever their
// names are.
func (j *judge) compare(before, after *document.Document) (changes []*pb.SandboxChange, err error) {
	old, now := before.Sandboxes(), after.Sandboxes()
	if len(old) == 1 && len(now) == 1 {
		return j.changed(nil, before, old[0], after, now[0])
	}
	names := slices.Concat(old, now)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		switch {
		case !slices.Contains(now, name):
			changes = append(changes, &pb.SandboxChange{Sandbox: name, Removed: true})
		case !slices.Contains(old, name):
			changes = append(changes, &pb.SandboxChange{Sandbox: name, Added: true})
		default:
			if changes, err = j.changed(changes, before, name, after, name); err != nil {
				return nil, err
			}
		}
	}
	return changes, nil
}

func (j *judge) changed(list []*pb.SandboxChange, before *document.Document, old string, after *document.Document, now string) ([]*pb.SandboxChange, error) {
	a, err := before.Compile(old, j.options)
	if err != nil {
		return nil, err
	}
	b, err := after.Compile(now, j.options)
	if err != nil {
		return nil, err
	}
	out, differ := &pb.SandboxChange{Sandbox: now}, document.Diff(a, b)
	for _, part := range []struct {
		direction string
		of        []document.Change
	}{{"gained", differ.Gained}, {"lost", differ.Lost}, {"changed", differ.Changed}} {
		for _, one := range part.of {
			out.Changes = append(out.Changes, &pb.AuthorityChange{Direction: part.direction, What: text(one.What), Text: text(one.Text)})
		}
	}
	if len(out.GetChanges()) > 0 {
		list = append(list, out)
	}
	return list, nil
}

// Explain implements the call.
func (s *policies) Explain(ctx context.Context, r *connect.Request[pb.ExplainRequest]) (*connect.Response[pb.ExplainResponse], error) {
	q, err := queryOf(r.Msg)
	if err != nil {
		return nil, err
	}
	name, words := "document", []byte(r.Msg.GetText())
	switch {
	case (r.Msg.GetText() == "") == (r.Msg.GetName() == ""):
		return nil, fmt.Errorf("%w: give the text of a document or the name of a policy, and not both", policystore.ErrInvalid)
	case r.Msg.GetName() != "":
		v, err := s.stored(ctx, r.Msg.GetName(), r.Msg.GetNumber())
		if err != nil {
			return nil, err
		}
		name, words = v.Name, v.Text
	default:
		if err := tooLong(r.Msg.GetText()); err != nil {
			return nil, err
		}
	}
	done, err := s.judge.turn(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	compiled, err := compileText(name, words, r.Msg.GetSandbox(), s.judge.options)
	if err != nil {
		return nil, err
	}
	v := compiled.Explain(q)
	return connect.NewResponse(&pb.ExplainResponse{Allowed: v.Allowed, Rule: text(v.Rule), Line: uint32(v.Line), Layer: v.Layer, Why: text(v.Why)}), nil
}

// queryOf is the question.
func queryOf(r *pb.ExplainRequest) (q document.Query, err error) {
	switch asked := r.GetQuestion().(type) {
	case *pb.ExplainRequest_Path:
		q.Path, q.Access = asked.Path.GetPath(), policy.Read
		if asked.Path.GetWrite() {
			q.Access = policy.Write
		}
	case *pb.ExplainRequest_Module:
		q.Import = asked.Module
	case *pb.ExplainRequest_Address:
		if q, err = document.ParsePeer(asked.Address); err != nil {
			err = fmt.Errorf("%w: address %w", policystore.ErrInvalid, err)
		}
	}
	if err == nil && q == (document.Query{}) {
		err = fmt.Errorf("%w: ask about a path, an address or a module", policystore.ErrInvalid)
	}
	return q, err
}

// Schema implements the call.
func (s *policies) Schema(context.Context, *connect.Request[pb.SchemaRequest]) (*connect.Response[pb.SchemaResponse], error) {
	return connect.NewResponse(&pb.SchemaResponse{Schema: string(s.judge.options.Keys.Schema())}), nil
}
