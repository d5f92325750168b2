package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
)

// Audit implements the call.
func (s *policies) Audit(ctx context.Context, r *connect.Request[pb.AuditRequest]) (*connect.Response[pb.AuditResponse], error) {
	limit, err := listed(r.Msg.GetLimit(), defaultListed)
	if err != nil {
		return nil, err
	}
	records, err := s.store.Audit(ctx, r.Msg.GetFrom(), limit)
	if err != nil {
		return nil, err
	}
	out := &pb.AuditResponse{}
	for _, a := range records {
		out.Records = append(out.Records, recordOf(a))
	}
	return connect.NewResponse(out), nil
}

// VerifyAudit implements the call.
func (s *policies) VerifyAudit(ctx context.Context, _ *connect.Request[pb.VerifyAuditRequest]) (*connect.Response[pb.VerifyAuditResponse], error) {
	sum, err := s.store.VerifyAudit(ctx)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.VerifyAuditResponse{Records: sum.Records, Head: sum.Head[:], First: moment(sum.First), Last: moment(sum.Last)}), nil
}

func recordOf(a policystore.AuditRecord) *pb.AuditRecord {
	return &pb.AuditRecord{Sequence: a.Seq, Index: a.Index, Time: moment(a.Time), Principal: a.Principal, Role: a.Role.String(),
		Tenant: a.Tenant, TokenId: a.TokenID, Action: fmt.Sprint(a.Action), Name: a.Name, Before: changeOf(a.Before), After: changeOf(a.After),
		Comment: a.Comment, Denied: a.Denied, Hash: a.Hash[:]}
}

func changeOf(c policystore.Change) *pb.Change {
	if c == (policystore.Change{}) {
		return nil
	}
	return &pb.Change{Number: c.Number, Hash: c.Hash[:]}
}
