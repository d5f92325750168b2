package remote

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pyisolate/pyisolate/cell"
)

const (
	// target is the only address of this node that messages may have.
	target = "cells"
	// batchCount is how many messages protoactor sends at once, at the most.
	batchCount = 1000
	// envelopeBytes bounds one message, and so what a peer has us hold for it before it is looked
	// at: the largest message of a cell, and room for what is around it.
	envelopeBytes = cell.MaxMessageBytes + 2<<20
	// batchBytes is when a batch is sent in parts. One message may be larger.
	batchBytes = 1 << 20
)

// allowed are the messages that may come.
var allowed = map[string]bool{
	"pyisolate.cluster.v1.CellEnvelope": true,
	"pyisolate.cluster.v1.CellReply":    true,
	"pyisolate.cluster.v1.TopicUpdate":  true,
}

// Header fields of what is delivered: whose it is, as the certificate and the greeting say.
const (
	headerNode    = "node"
	headerSession = "session"
)

const (
	aliveAfter  = 10 * time.Second // of silence, a peer is asked
	aliveWithin = 5 * time.Second  // and has to answer
	window      = 4 << 20          // bytes that a peer may send ahead
)

func (r *Remote) serverOptions() []remote.ConfigOption {
	return []remote.ConfigOption{remote.WithServerOptions(
		grpc.Creds(r.door),
		grpc.UnaryInterceptor(r.refuseUnary),
		grpc.StreamInterceptor(r.guardStream),
		grpc.MaxConcurrentStreams(1), grpc.WaitForHandlers(true),
		grpc.MaxRecvMsgSize(envelopeBytes+batchBytes),
		grpc.MaxHeaderListSize(8<<10),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(window),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: aliveAfter, Timeout: aliveWithin}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: aliveWithin, PermitWithoutStream: true}),
	)}
}

// refuseUnary: protoactor's calls of one message panic, or tell about actors.
func (r *Remote) refuseUnary(ctx context.Context, _ any, info *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
	v, err := visitorOf(ctx)
	if err != nil {
		return nil, err
	}
	return nil, r.refuse(v, status.Errorf(codes.PermissionDenied, "%s is not served", info.FullMethod))
}

func visitorOf(ctx context.Context) (*visitor, error) {
	if p, ok := peer.FromContext(ctx); ok {
		if v, is := p.AuthInfo.(*visitor); is {
			return v, nil
		}
	}
	return nil, status.Error(codes.Unauthenticated, "it came through no door")
}

// guardStream serves the one stream of a visitor. What panics in it ends this connection alone.
func (r *Remote) guardStream(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, serve grpc.StreamHandler) (err error) {
	v, err := visitorOf(stream.Context())
	if err != nil {
		return err
	}
	if !v.streamed.CompareAndSwap(false, true) {
		return r.refuse(v, status.Error(codes.PermissionDenied, "a connection has one stream"))
	}
	defer func() { _ = v.Close() }()
	if !r.hold() {
		return status.Error(codes.Unavailable, "this node is ending")
	}
	defer r.working.Done()
	turn := r.door.turn(v.node)
	turn.Lock()
	defer turn.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = r.refuse(v, status.Error(codes.InvalidArgument, "it cannot be read"))
			r.config.Logger.Error("a message of a node made its reader panic", "node", v.node, "panic", p)
		}
	}()
	return serve(srv, &guarded{ServerStream: stream, remote: r, visitor: v})
}

// refuse counts and tells that a visitor is sent away, and ends its connection.
func (r *Remote) refuse(v *visitor, err error) error {
	r.refused.Add(1)
	r.config.Logger.Warn("a node sent what is not permitted; its connection is ended", "node", v.node, "error", err)
	time.AfterFunc(time.Second, func() { _ = v.Close() }) // it may still be told why
	return err
}

// guarded is a stream of which protoactor gets only what is allowed. It is used by one
// goroutine.
type guarded struct {
	grpc.ServerStream
	remote  *Remote
	visitor *visitor
	header  *remote.MessageHeader // nil before the greeting
}

// RecvMsg implements grpc.ServerStream.
func (g *guarded) RecvMsg(m any) error {
	if err := g.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	msg, is := m.(*remote.RemoteMessage)
	if !is {
		return g.refuse(codes.InvalidArgument, fmt.Errorf("a %T", m))
	}
	switch t := msg.MessageType.(type) {
	case *remote.RemoteMessage_ConnectRequest:
		return g.greet(t.ConnectRequest)
	case *remote.RemoteMessage_MessageBatch:
		if g.header == nil {
			return g.refuse(codes.FailedPrecondition, errors.New("a message before the greeting"))
		}
		if err := checkBatch(t.MessageBatch); err != nil {
			return g.refuse(codes.PermissionDenied, err)
		}
		for _, e := range t.MessageBatch.Envelopes {
			e.MessageHeader = g.header
		}
		return nil
	default:
		return g.refuse(codes.PermissionDenied, fmt.Errorf("a message of type %T", t))
	}
}

func (g *guarded) refuse(code codes.Code, err error) error {
	return g.remote.refuse(g.visitor, status.Error(code, err.Error()))
}

// greet takes the first message of a stream.
func (g *guarded) greet(c *remote.ConnectRequest) error {
	s := c.GetServerConnection()
	switch {
	case g.header != nil:
		return g.refuse(codes.PermissionDenied, errors.New("a second greeting"))
	case s == nil:
		return g.refuse(codes.PermissionDenied, errors.New("a greeting that is not a server's"))
	case !validSession(s.MemberId):
		return g.refuse(codes.InvalidArgument, errors.New("a greeting without a session"))
	}
	s.BlockList = nil
	g.header = &remote.MessageHeader{HeaderData: map[string]string{headerNode: g.visitor.node, headerSession: s.MemberId}}
	g.remote.asked.interrupt(g.visitor.node, s.MemberId) // what its former self asked for
	return g.visitor.SetDeadline(time.Time{})
}

func validSession(s string) bool { return len(s) > 0 && len(s) <= 64 }

// checkBatch says why a batch is not let in, or nil. protoactor trusts all that it looks at.
func checkBatch(b *remote.MessageBatch) error {
	switch {
	case b == nil:
		return errors.New("a batch of nothing")
	case len(b.Envelopes) > batchCount:
		return fmt.Errorf("a batch of %d messages; %d is the most", len(b.Envelopes), batchCount)
	case len(b.Senders) > 0:
		return errors.New("senders: answers go to who has the certificate")
	case len(b.TypeNames) > len(allowed):
		return fmt.Errorf("%d types", len(b.TypeNames))
	case len(b.Targets) > 1:
		return fmt.Errorf("%d targets", len(b.Targets))
	}
	for _, name := range b.TypeNames {
		if !allowed[name] {
			return fmt.Errorf("type %.100q", name)
		}
	}
	for _, t := range b.Targets {
		if t != target {
			return fmt.Errorf("target %.100q", t)
		}
	}
	for _, e := range b.Envelopes {
		if err := checkEnvelope(b, e); err != nil {
			return err
		}
	}
	return nil
}

func checkEnvelope(b *remote.MessageBatch, e *remote.MessageEnvelope) error {
	switch {
	case e == nil:
		return errors.New("a message of nothing")
	case e.TypeId < 0 || int(e.TypeId) >= len(b.TypeNames):
		return fmt.Errorf("type %d of %d", e.TypeId, len(b.TypeNames))
	case e.Target < 0 || int(e.Target) >= len(b.Targets):
		return fmt.Errorf("target %d of %d", e.Target, len(b.Targets))
	case e.Sender != 0 || e.SenderRequestId != 0 || e.TargetRequestId != 0:
		return errors.New("a sender, or the number of a request")
	case e.SerializerId != 0:
		return fmt.Errorf("serializer %d; only protobuf is read", e.SerializerId)
	case e.MessageHeader != nil:
		return errors.New("a header")
	}
	return nil
}
