package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/policystore"
)

// CreateToken implements the call.
func (s *policies) CreateToken(ctx context.Context, r *connect.Request[pb.CreateTokenRequest]) (*connect.Response[pb.CreateTokenResponse], error) {
	role, err := policystore.ParseRole(r.Msg.GetRole())
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.Msg.GetName(), uidPrefix) {
		return nil, fmt.Errorf("%w: token name %q: names that begin with %s are those of users", policystore.ErrInvalid, r.Msg.GetName(), uidPrefix)
	}
	lifetime := r.Msg.GetLifetime().AsDuration()
	if lifetime < 0 {
		return nil, fmt.Errorf("%w: lifetime %s; it must not be negative", policystore.ErrInvalid, lifetime)
	}
	request := policystore.TokenRequest{Name: r.Msg.GetName(), Role: role, Tenant: r.Msg.GetTenant()}
	if lifetime > 0 {
		request.Expires = time.Now().Add(lifetime)
	}
	secret, info, err := s.store.CreateToken(ctx, principalOf(ctx), request)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.CreateTokenResponse{Secret: secret, Token: tokenOf(info)}), nil
}

// ListTokens implements the call.
func (s *policies) ListTokens(ctx context.Context, _ *connect.Request[pb.ListTokensRequest]) (*connect.Response[pb.ListTokensResponse], error) {
	tokens, err := s.store.ListTokens(ctx, principalOf(ctx))
	if err != nil {
		return nil, err
	}
	out := &pb.ListTokensResponse{}
	for _, t := range tokens {
		out.Tokens = append(out.Tokens, tokenOf(t))
	}
	return connect.NewResponse(out), nil
}

// RevokeToken implements the call.
func (s *policies) RevokeToken(ctx context.Context, r *connect.Request[pb.RevokeTokenRequest]) (*connect.Response[pb.RevokeTokenResponse], error) {
	info, err := s.store.RevokeToken(ctx, principalOf(ctx), r.Msg.GetId())
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.RevokeTokenResponse{Token: tokenOf(info)}), nil
}

func tokenOf(t policystore.TokenInfo) *pb.Token {
	return &pb.Token{Id: t.ID, Name: t.Name, Role: t.Role.String(), Tenant: t.Tenant, Created: moment(t.Created),
		CreatedBy: t.CreatedBy, Expires: moment(t.Expires), Revoked: moment(t.Revoked)}
}

// moment is unset for the zero time.
func moment(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// versionOf leaves the text out unless it is asked for.
func versionOf(v policystore.Version, text bool) *pb.Version {
	out := &pb.Version{Name: v.Name, Number: v.Number, Index: v.Index, Author: v.Author, Comment: v.Comment,
		Time: moment(v.Time), Deleted: v.Deleted, Source: v.Source}
	if !v.Deleted {
		out.Hash = v.Hash[:]
	}
	if text {
		out.Text = v.Text
	}
	return out
}
