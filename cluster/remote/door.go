package remote

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

// entering is how many connections are let in at a time, enterTime how long one may take until it
// has said who it is.
const (
	entering  = 64
	enterTime = 10 * time.Second
)

// door is how connections get to protoactor's server. That opens a port of its own and takes no
// listener. So the port is on loopback, and a connection to it is no more than a ring at the door:
// the server's credentials drop it and let in, in its place, a visitor that waits, who has shown a
// certificate elsewhere. Where nobody waits, a ring has no effect.
type door struct {
	bell string // the address of the port

	mu       sync.Mutex
	waiting  []*visitor             // to be let in; none that is closed
	visitors map[string]*visitor    // by node, the last of each
	turns    map[string]*sync.Mutex // by node: one connection is served at a time
}

func newDoor() *door {
	return &door{visitors: map[string]*visitor{}, turns: map[string]*sync.Mutex{}}
}

// visitor is a connection of another node.
type visitor struct {
	net.Conn
	node     string
	streamed atomic.Bool // it has had its stream
	once     sync.Once
	left     func()
	late     *time.Timer // closes it when it has no stream in time
}

// Close implements net.Conn.
func (v *visitor) Close() error {
	v.once.Do(func() {
		v.left()
		v.late.Stop()
	})
	return v.Conn.Close()
}

// entered is a visitor with the ring it was let in for, which gRPC wants to be open meanwhile.
type entered struct {
	*visitor
	bell net.Conn
}

// Close implements net.Conn.
func (e *entered) Close() error {
	_ = e.bell.Close()
	return e.visitor.Close()
}

// AuthType implements credentials.AuthInfo.
func (*visitor) AuthType() string { return "node" }

// accept lets connections in until the listener is closed.
func (r *Remote) accept() {
	room := make(chan struct{}, entering)
	for {
		conn, err := r.config.Listener.Accept()
		if err != nil {
			if r.life.Err() == nil && !errors.Is(err, net.ErrClosed) {
				r.config.Logger.Error("accept connections of other nodes", "error", err)
			}
			return
		}
		select {
		case room <- struct{}{}:
			r.working.Go(func() {
				defer func() { <-room }()
				r.enter(conn)
			})
		default:
			_ = conn.Close()
		}
	}
}

// enter brings a connection to the server.
func (r *Remote) enter(conn net.Conn) {
	stop := context.AfterFunc(r.life, func() { _ = conn.Close() })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(enterTime)) // until it has its stream
	node, err := r.config.Peer(conn)
	if err == nil && (!pki.ValidName(node) || node == r.config.Self) {
		err = errors.New("it has no name of another node")
	}
	if err != nil {
		r.config.Logger.Debug("a connection is refused", "from", conn.RemoteAddr().String(), "error", err)
		_ = conn.Close()
		return
	}
	v := r.visitor(conn, node)
	if old := r.door.arrive(v); old != nil {
		_ = old.Close()
	}
	if err := r.door.ring(r.life, v); err != nil {
		r.config.Logger.Warn("a connection is not served", "node", node, "error", err)
		_ = v.Close()
	}
}

// visitor makes one of a connection.
func (r *Remote) visitor(conn net.Conn, node string) *visitor {
	v := &visitor{Conn: conn, node: node}
	v.left = func() { r.door.leave(v) }
	v.late = time.AfterFunc(enterTime, func() {
		if !v.streamed.Load() {
			_ = v.Close()
		}
	})
	return v
}

// arrive returns the connection of the same node that it replaces.
func (d *door) arrive(v *visitor) (old *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old = d.visitors[v.node]
	d.visitors[v.node] = v
	if d.turns[v.node] == nil {
		d.turns[v.node] = &sync.Mutex{}
	}
	return old
}

func (d *door) leave(v *visitor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.visitors[v.node] == v {
		delete(d.visitors, v.node)
	}
	d.waiting = slices.DeleteFunc(d.waiting, func(w *visitor) bool { return w == v })
}

// wait has a visitor be let in with the next ring.
func (d *door) wait(v *visitor) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.visitors[v.node] != v: // nobody would take it out again
		return errors.New("it is closed, or the node has another")
	case len(d.waiting) == entering:
		return errors.New("too many wait to be let in")
	}
	d.waiting = append(d.waiting, v)
	return nil
}

// next is the first that waits, or nil.
func (d *door) next() *visitor {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return nil
	}
	v := d.waiting[0]
	d.waiting = slices.Delete(d.waiting, 0, 1)
	return v
}

// ring has the server let a visitor in. With an error the visitor is the caller's to close.
func (d *door) ring(ctx context.Context, v *visitor) error {
	if err := d.wait(v); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enterTime)
	defer cancel()
	bell, err := (&net.Dialer{}).DialContext(ctx, "tcp", d.bell)
	if err != nil {
		return err
	}
	_ = bell.Close() // it stays in the backlog until it is heard
	return nil
}

// turn is held while a connection of a node is served, so that what came over the one before is
// through.
func (d *door) turn(node string) *sync.Mutex {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.turns[node]
}

// of is the connection of a node, or nil.
func (d *door) of(node string) *visitor {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.visitors[node]
}

// cut ends the connection of a node, if it has one.
func (d *door) cut(node string) bool {
	v := d.of(node)
	if v != nil {
		_ = v.Close()
	}
	return v != nil
}

func (d *door) cutAll() {
	d.mu.Lock()
	all := make([]*visitor, 0, len(d.visitors))
	for _, v := range d.visitors {
		all = append(all, v)
	}
	d.mu.Unlock()
	for _, v := range all {
		_ = v.Close()
	}
}

func (d *door) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.visitors)
}

var _ credentials.TransportCredentials = (*door)(nil)

// ServerHandshake implements credentials.TransportCredentials.
func (d *door) ServerHandshake(bell net.Conn) (net.Conn, credentials.AuthInfo, error) {
	v := d.next()
	if v == nil {
		return nil, nil, io.EOF // gRPC logs nothing then
	}
	return &entered{v, bell}, v, nil
}

// ClientHandshake implements credentials.TransportCredentials; the door is for servers.
func (d *door) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.New("remote: nobody is called through the door")
}

// Info implements credentials.TransportCredentials.
func (d *door) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "node"}
}

// Clone implements credentials.TransportCredentials.
func (d *door) Clone() credentials.TransportCredentials { return d }

// OverrideServerName implements credentials.TransportCredentials.
func (d *door) OverrideServerName(string) error { return nil }
