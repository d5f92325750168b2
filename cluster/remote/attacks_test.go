package remote

import (
	"context"
	"errors"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// attacker is a client that says what it likes over a connection.
type attacker struct {
	tb  testing.TB
	ctx context.Context
	cc  *grpc.ClientConn
}

func attack(tb testing.TB, conn net.Conn) *attacker {
	tb.Helper()
	ctx, cancel := context.WithTimeout(soon(tb), enterTime-time.Second) // silence alone ends it later
	tb.Cleanup(cancel)
	var used bool
	cc, err := grpc.NewClient("passthrough:///b", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30)),
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if used {
				return nil, errors.New("it had its connection")
			}
			used = true
			return conn, nil
		}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = cc.Close() })
	return &attacker{tb, ctx, cc}
}

func greetingOf(session string) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ServerConnection{ServerConnection: &remote.ServerConnection{MemberId: session}}}}}
}

func batchOf(b *remote.MessageBatch) *remote.RemoteMessage {
	return &remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: b}}
}

// say sends on one stream, and returns what ends it.
func (a *attacker) say(all ...*remote.RemoteMessage) error {
	stream, err := remote.NewRemotingClient(a.cc).Receive(a.ctx)
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := stream.Send(m); err != nil {
			break // Recv says why
		}
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return err
		}
	}
}

// message of a type to a target, in a batch that has nothing else.
func message(name, target string, m proto.Message) *remote.MessageBatch {
	data, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &remote.MessageBatch{TypeNames: []string{name}, Targets: []string{target}, Envelopes: []*remote.MessageEnvelope{{MessageData: data}}}
}

const envelopeType = "pyisolate.cluster.v1.CellEnvelope"

// changed is a batch that would be let in, but for one thing.
func changed(change func(*remote.MessageBatch, *remote.MessageEnvelope)) *remote.RemoteMessage {
	b := message(envelopeType, target, &envelope.CellEnvelope{})
	change(b, b.Envelopes[0])
	return batchOf(b)
}

// attacks are what a node may not do. Each returns how it ended.
var attacks = map[string]func(*attacker) error{
	"list processes": func(a *attacker) error {
		_, err := remote.NewRemotingClient(a.cc).ListProcesses(a.ctx, &remote.ListProcessesRequest{})
		return err
	},
	"diagnostics": func(a *attacker) error {
		_, err := remote.NewRemotingClient(a.cc).GetProcessDiagnostics(a.ctx, &remote.GetProcessDiagnosticsRequest{Pid: actor.NewPID("b", target)})
		return err
	},
	"before the greeting": func(a *attacker) error {
		return a.say(batchOf(message(envelopeType, target, &envelope.CellEnvelope{})))
	},
	"two greetings":      func(a *attacker) error { return a.say(greetingOf("x"), greetingOf("y")) },
	"no session":         func(a *attacker) error { return a.say(greetingOf("")) },
	"a client's":         func(a *attacker) error { return a.say(clientGreeting) },
	"nothing":            func(a *attacker) error { return a.say(greetingOf("x"), &remote.RemoteMessage{}) },
	"disconnect":         func(a *attacker) error { return a.say(greetingOf("x"), disconnect) },
	"greeting back":      func(a *attacker) error { return a.say(greetingOf("x"), greetingBack) },
	"stop":               sends(message("actor.Stop", target, &actor.Stop{})),
	"stop the activator": sends(message("actor.Stop", "activator", &actor.Stop{})),
	"poison":             sends(message("actor.PoisonPill", target, &actor.PoisonPill{})),
	"watch":              sends(message("actor.Watch", target, &actor.Watch{Watcher: actor.NewPID("elsewhere:1", "x")})),
	"terminated":         sends(message("actor.Terminated", target, &actor.Terminated{Who: actor.NewPID("elsewhere:1", "x")})),
	"spawn":              sends(message("remote.ActorPidRequest", "activator", &remote.ActorPidRequest{Kind: "x"})),
	"another target":     sends(message(envelopeType, "EndpointSupervisor", &envelope.CellEnvelope{})),
	"no type of ours":    sends(message("google.protobuf.Any", target, &envelope.CellEnvelope{})),
	"type 1 of 1":        alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.TypeId = 1 }),
	"type -1":            alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.TypeId = -1 }),
	"target 7 of 1":      alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.Target = 7 }),
	"target -1":          alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.Target = -1 }),
	"sender 42":          alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.Sender = 42 }),
	"request":            alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.TargetRequestId = 1 }),
	"JSON":               alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.SerializerId = 1 }),
	"serializer 9":       alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) { e.SerializerId = 9 }),
	"header": alters(func(_ *remote.MessageBatch, e *remote.MessageEnvelope) {
		e.MessageHeader = &remote.MessageHeader{HeaderData: map[string]string{headerNode: "a"}}
	}),
	"a forged sender": alters(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
		b.Senders, e.Sender = []*actor.PID{actor.NewPID("a", target)}, 1
	}),
	"no types":   alters(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.TypeNames = nil }),
	"no targets": alters(func(b *remote.MessageBatch, _ *remote.MessageEnvelope) { b.Targets = nil }),
	"too many at once": alters(func(b *remote.MessageBatch, e *remote.MessageEnvelope) {
		b.Envelopes = slices.Repeat([]*remote.MessageEnvelope{e}, batchCount+1)
	}),
}

var (
	clientGreeting = &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectRequest{ConnectRequest: &remote.ConnectRequest{
		ConnectionType: &remote.ConnectRequest_ClientConnection{ClientConnection: &remote.ClientConnection{MemberId: "x"}}}}}
	disconnect   = &remote.RemoteMessage{MessageType: &remote.RemoteMessage_DisconnectRequest{DisconnectRequest: &remote.DisconnectRequest{}}}
	greetingBack = &remote.RemoteMessage{MessageType: &remote.RemoteMessage_ConnectResponse{ConnectResponse: &remote.ConnectResponse{MemberId: "x"}}}
)

func sends(b *remote.MessageBatch) func(*attacker) error {
	return func(a *attacker) error { return a.say(greetingOf("x"), batchOf(b)) }
}

func alters(change func(*remote.MessageBatch, *remote.MessageEnvelope)) func(*attacker) error {
	return func(a *attacker) error { return a.say(greetingOf("x"), changed(change)) }
}
