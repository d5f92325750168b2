package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/asynkron/protoactor-go/actor"
	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

// scheme is before a node's name where protoactor and gRPC want an address: nothing is looked up.
const scheme = "passthrough:///"

// connection is one to another node, from its dial to the day protoactor has forgotten it.
type connection struct {
	link    *link
	session string      // of the node at the other end; set once it has greeted
	greeted chan string // has room for one
	lost    chan struct{}
	over    chan struct{} // protoactor's endpoint is no more

	mu    sync.Mutex
	conn  net.Conn
	taken bool // by gRPC
	err   error
	once  sync.Once
	ends  sync.Once
}

func newConnection(l *link, conn net.Conn) *connection {
	return &connection{link: l, conn: conn, greeted: make(chan string, 1), lost: make(chan struct{}), over: make(chan struct{})}
}

// lose ends it. From its return on nothing is sent any more.
func (c *connection) lose(err error) {
	c.once.Do(func() {
		c.err = err
		c.link.ending(c)
		_ = c.conn.Close()
		close(c.lost)
	})
}

func (c *connection) take() (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken {
		return nil, errors.New("remote: there is one connection, and it was used")
	}
	c.taken = true
	return c.conn, nil
}

// clientOptions are for protoactor's connections: they are made by Config.Dial, which has
// authenticated both ends, before protoactor is told to make one.
func (r *Remote) clientOptions() []remote.ConfigOption {
	dial := func(_ context.Context, node string) (net.Conn, error) {
		c, err := r.connection(node)
		if err != nil {
			return nil, err
		}
		return c.take()
	}
	return []remote.ConfigOption{
		remote.WithDialOptions(
			grpc.WithTransportCredentials(insecure.NewCredentials()), // inside of what Dial returned
			grpc.WithContextDialer(dial),
			grpc.WithNoProxy(), grpc.WithDisableServiceConfig(), grpc.WithDisableRetry(), grpc.WithIdleTimeout(0),
			grpc.WithStreamInterceptor(r.watchStream),
			grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(envelopeBytes+batchBytes), grpc.MaxCallRecvMsgSize(64<<10)),
			grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(window),
			grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: aliveAfter, Timeout: aliveWithin, PermitWithoutStream: true}),
		),
		remote.WithEndpointWriterBatchSize(batchCount),
		remote.WithEndpointWriterQueueSize(1024), // to begin with
		func(c *remote.Config) { c.MaxRetryCount = 1 },
	}
}

// connection that protoactor is to use for a node.
func (r *Remote) connection(node string) (*connection, error) {
	l, err := r.link(strings.TrimPrefix(node, scheme))
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, fmt.Errorf("remote: there is no connection to node %s", l.node)
	}
	return l.conn, nil
}

// endpointEnded is told by protoactor that it has forgotten a node.
func (r *Remote) endpointEnded(event any) {
	e, is := event.(*remote.EndpointTerminatedEvent)
	if !is {
		return
	}
	if c, err := r.connection(e.Address); err == nil {
		c.ends.Do(func() { close(c.over) })
	}
}

func (r *Remote) watchStream(ctx context.Context, d *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	c, err := r.connection(cc.Target())
	if err != nil {
		return nil, err
	}
	stream, err := open(ctx, d, cc, method, o...)
	if err != nil {
		c.lose(err)
		return nil, err
	}
	return &watched{ClientStream: stream, connection: c}, nil
}

// watched is a stream to another node. Protoactor sends on it with one goroutine and receives with
// another.
type watched struct {
	grpc.ClientStream
	connection *connection
	greeted    bool
}

// RecvMsg implements grpc.ClientStream. All but the greeting is an error, which has protoactor
// forget the node: what it takes for an orderly end would leave it sending to nobody.
func (w *watched) RecvMsg(m any) error {
	err := w.ClientStream.RecvMsg(m)
	if err == nil {
		err = w.received(m)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("it has ended the stream")
	}
	if err != nil {
		w.connection.lose(err)
	}
	return err
}

func (w *watched) received(m any) error {
	msg, _ := m.(*remote.RemoteMessage)
	switch t := msg.GetMessageType().(type) {
	case *remote.RemoteMessage_ConnectResponse:
		if w.greeted || t.ConnectResponse.Blocked || !validSession(t.ConnectResponse.MemberId) {
			return errors.New("its greeting is not one")
		}
		w.greeted = true
		w.connection.greeted <- t.ConnectResponse.MemberId
		return nil
	case *remote.RemoteMessage_DisconnectRequest:
		return errors.New("it is ending")
	default:
		return fmt.Errorf("it sent a %T where it has only to greet", t)
	}
}

// SendMsg implements grpc.ClientStream. Protoactor makes one message of all that waits; it is sent in
// parts, so that the first is handled while the last is on its way.
func (w *watched) SendMsg(m any) error {
	msg, _ := m.(*remote.RemoteMessage)
	b := msg.GetMessageBatch()
	if b == nil {
		return w.send(m, 0)
	}
	rest := b.Envelopes
	for len(rest) > 0 {
		n, bytes := part(rest)
		err := w.send(&remote.RemoteMessage{MessageType: &remote.RemoteMessage_MessageBatch{MessageBatch: &remote.MessageBatch{
			TypeNames: b.TypeNames, Targets: b.Targets, Senders: b.Senders, Envelopes: rest[:n],
		}}}, bytes)
		if err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (w *watched) send(m any, bytes int) error {
	err := w.ClientStream.SendMsg(m)
	if err != nil {
		// The reason is what RecvMsg returns, and returns it soon.
		return err
	}
	w.connection.link.sent(w.connection, bytes)
	return nil
}

// part is how many messages are sent at once, and the bytes in them.
func part(all []*remote.MessageEnvelope) (n, bytes int) {
	for n < len(all) {
		next := len(all[n].MessageData)
		if n > 0 && bytes+next > batchBytes {
			break
		}
		n, bytes = n+1, bytes+next
	}
	return n, bytes
}

func address(node string) *actor.PID { return actor.NewPID(scheme+node, target) }
