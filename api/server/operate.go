package server

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// Exec implements the call.
func (s *cells) Exec(ctx context.Context, r *connect.Request[pb.ExecRequest]) (*connect.Response[pb.ExecResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	dialect, err := found.dialect(r.Msg.GetDialect())
	if err != nil {
		return nil, err
	}
	src := cell.Source{Code: []byte(r.Msg.GetCode()), File: cmp.Or(r.Msg.GetFile(), "<cell>"), Dialect: dialect, Args: r.Msg.GetArgs(), ID: r.Msg.GetRequestId()}
	if err := src.Validate(); err != nil {
		return nil, err
	}
	reply := s.run(ctx, found, r.Msg.GetRequestId(), r.Msg.GetEpoch(), actors.Exec{Source: src})
	if reply.Err != nil {
		return nil, reply.Err
	}
	return connect.NewResponse(&pb.ExecResponse{Epoch: reply.Epoch}), nil
}

// dialect is the asked one, if the policy in force has no other.
func (e *entry) dialect(asked string) (cell.Dialect, error) {
	policy := ""
	if r := e.incarnation(); r != nil {
		policy = r.Began().Compiled.Dialect
	}
	switch {
	case asked == "":
		return cell.Dialect(policy), nil
	case policy != "" && asked != policy:
		return "", cell.Errorf(cell.PolicyDenied, "dialect %s: policy %s permits %s only", asked, e.terms.ref, policy)
	}
	return cell.Dialect(asked), nil
}

// Call implements the call.
func (s *cells) Call(ctx context.Context, r *connect.Request[pb.CallRequest]) (*connect.Response[pb.CallResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	inv := cell.Invocation{Target: r.Msg.GetTarget(), Args: json.RawMessage(r.Msg.GetArgs()), Kwargs: json.RawMessage(r.Msg.GetKwargs()), Raw: r.Msg.Raw}
	reply := s.run(ctx, found, r.Msg.GetRequestId(), r.Msg.GetEpoch(), actors.Call{Invocation: inv})
	if reply.Err != nil {
		return nil, reply.Err
	}
	return connect.NewResponse(&pb.CallResponse{Value: valueTo(reply.Value), Epoch: reply.Epoch}), nil
}

// run asks for what runs code. Of a refusal the guest's exception has the words; the evidence
// came before it.
func (s *cells) run(ctx context.Context, e *entry, requestID string, epoch uint64, b actors.Body) actors.Reply {
	began := time.Now()
	reply := s.ask(ctx, e, requestID, epoch, b)
	var refused *cell.Error
	if errors.As(reply.Err, &refused) && refused.Kind == cell.PolicyDenied && refused.Denial == nil {
		if d := e.lastDenial.Load(); d != nil && d.reached.After(began) && strings.Contains(refused.Message, d.Capability) {
			whole := *refused
			whole.Denial = &d.Denial
			reply.Err = &whole
		}
	}
	return reply
}

// Send implements the call.
func (s *cells) Send(ctx context.Context, r *connect.Request[pb.SendRequest]) (*connect.Response[pb.SendResponse], error) {
	found, err := s.find(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	v, err := valueOf(r.Msg.GetValue())
	if err != nil {
		return nil, err
	}
	reply := s.ask(ctx, found, r.Msg.GetRequestId(), r.Msg.GetEpoch(), actors.Post{Value: v})
	if reply.Err != nil {
		return nil, reply.Err
	}
	return connect.NewResponse(&pb.SendResponse{Epoch: reply.Epoch}), nil
}

// Publish implements the call.
func (s *cells) Publish(ctx context.Context, r *connect.Request[pb.PublishRequest]) (*connect.Response[pb.PublishResponse], error) {
	p := principalOf(ctx)
	tenant := tenantOf(p, r.Msg.GetTenant())
	err := cell.ValidName("tenant", tenant)
	if err == nil {
		err = mayUse(p, tenant)
	}
	if err != nil {
		return nil, err
	}
	v, err := valueOf(r.Msg.GetValue())
	if err != nil {
		return nil, err
	}
	published, err := s.actors.Publish(ctx, tenant, r.Msg.GetTopic(), p.Name, v)
	if err != nil {
		return nil, err
	}
	out := &pb.PublishResponse{Delivered: uint32(published.Delivered)}
	for _, one := range published.Refused {
		out.Refused = append(out.Refused, &pb.Refusal{Cell: &pb.CellRef{Tenant: one.Cell.Tenant, Name: one.Cell.Name}, Error: fault.Detail(one.Err)})
	}
	return connect.NewResponse(out), nil
}

// valueOf reads what a client sends.
func valueOf(v *pb.Value) (cell.Value, error) {
	switch kind := v.GetKind().(type) {
	case *pb.Value_Json:
		data := []byte(kind.Json)
		if !json.Valid(data) {
			return cell.Value{}, cell.Errorf(cell.Invalid, "value.json is not one JSON text")
		}
		return cell.Value{Type: cell.JSON, Data: data}, nil
	case *pb.Value_Raw:
		return cell.BytesValue(kind.Raw), nil
	}
	return cell.Value{}, cell.Errorf(cell.Invalid, "there is no value: give json or raw")
}

// valueTo is what a guest gave, for a message. JSON that is not UTF-8 is none: it is told as the
// bytes that it is.
func valueTo(v cell.Value) *pb.Value {
	if v.Type == cell.Bytes || !utf8.Valid(v.Data) {
		return &pb.Value{Kind: &pb.Value_Raw{Raw: v.Data}}
	}
	return &pb.Value{Kind: &pb.Value_Json{Json: string(v.Data)}}
}
