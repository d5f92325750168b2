package remote

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/asynkron/protoactor-go/actor"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

const (
	// dialTime is how long a connection may take until the other node has greeted.
	dialTime = 3 * time.Second
	// firstPause is that after a failure; it doubles with each, up to mostPause.
	firstPause = 100 * time.Millisecond
	mostPause  = 2 * time.Second
	// forgetTime is how long protoactor may take to forget a connection; it sleeps 2 s where it
	// could not greet.
	forgetTime = 15 * time.Second

	// unansweredCount is how many questions to one node may wait for their answers.
	unansweredCount = 1 << 14
	// unsentBytes is how much may wait for the network on one link. One message may be larger.
	unsentBytes = 32 << 20
)

// link is the way to another node.
type link struct {
	remote *Remote
	node   string
	pid    *actor.PID

	mu       sync.Mutex
	state    linkState
	conn     *connection   // the last one
	settled  chan struct{} // closed when it is up, or down again
	err      error         // that it is down for
	failures int
	retry    time.Time // not before this
	calls    map[uint64]*call
	unsent   int
}

type linkState uint8

const (
	down     linkState = iota
	dialling           // there is no connection yet
	greeting           // protoactor has one, and has been told to send
	up
	ending // protoactor has not forgotten the connection yet
)

// call is a question that is not answered yet.
type call struct{ done chan outcome }

type outcome struct {
	reply *envelope.CellReply
	err   error // that there is none for
}

func newLink(r *Remote, node string) *link {
	return &link{remote: r, node: node, pid: address(node), calls: map[uint64]*call{}}
}

// wake has it dialled, if it is down and has paused.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == down && time.Now().After(l.retry) {
		l.begin()
	}
}

// begin is called with mu held.
func (l *link) begin() {
	l.remote.mu.Lock()
	defer l.remote.mu.Unlock()
	if l.remote.closed {
		l.err = errClosing
		return
	}
	l.state, l.settled, l.unsent = dialling, make(chan struct{}), 0
	l.remote.working.Go(l.run)
}

// ready waits until it is up, and returns the session of the node at its other end. What it
// returns otherwise says why it is not; nothing was sent then.
func (l *link) ready(ctx context.Context) (session string, err error) {
	l.wake()
	l.mu.Lock()
	settled := l.settled
	wait := l.state == dialling || l.state == greeting
	l.mu.Unlock()
	if wait {
		select {
		case <-settled:
		case <-ctx.Done():
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == up {
		return l.conn.session, nil
	}
	return "", l.unreachable()
}

// unreachable is called with mu held.
func (l *link) unreachable() error {
	if l.err != nil {
		return cell.Errorf(cell.Busy, "node %s cannot be reached; try again later: %v", l.node, l.err)
	}
	return cell.Errorf(cell.Busy, "node %s is not connected yet; try again", l.node)
}

// run is the life of one connection.
func (l *link) run() {
	c, err := l.dial()
	if err == nil {
		l.remote.config.Logger.Info("a node is connected", "node", l.node)
		l.rise(c)
		select {
		case <-c.lost:
		case <-l.remote.life.Done():
			c.lose(errClosing)
		}
		err = c.err
	}
	l.fail(err)
	if c != nil {
		l.awaitEnd(c)
	}
	l.settle(err)
}

// dial returns a connection that is up, or why there is none; one that has to be forgotten it
// returns also then.
func (l *link) dial() (*connection, error) {
	ctx, cancel := context.WithTimeout(l.remote.life, dialTime)
	defer cancel()
	conn, err := l.remote.config.Dial(ctx, l.node)
	if err != nil {
		return nil, err
	}
	c := newConnection(l, conn)
	l.mu.Lock()
	l.conn, l.state = c, greeting
	l.mu.Unlock()
	// With the first message protoactor makes its endpoint, which takes the connection.
	l.remote.topics.introduce(l)
	select {
	case c.session = <-c.greeted:
		return c, nil
	case <-c.lost:
	case <-ctx.Done():
		c.lose(fmt.Errorf("it has not greeted within %s", dialTime))
	}
	return c, c.err
}

func (l *link) rise(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == greeting && l.conn == c {
		l.state, l.err, l.failures = up, nil, 0
		close(l.settled)
	}
}

// ending is called when a connection is lost, before protoactor knows.
func (l *link) ending(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == c {
		l.state = ending
	}
}

// fail tells all who wait for an answer that there will be none.
func (l *link) fail(err error) {
	if errors.Is(err, context.Canceled) && l.remote.life.Err() != nil {
		err = errClosing
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
	select {
	case <-l.settled: // it was up
	default:
		close(l.settled)
	}
	for number, c := range l.calls {
		delete(l.calls, number)
		c.done <- outcome{err: err}
	}
}

// awaitEnd waits until protoactor will make a new connection for what is sent next.
func (l *link) awaitEnd(c *connection) {
	l.remote.topics.part(l)
	select {
	case <-c.over:
	case <-time.After(forgetTime):
		l.remote.config.Logger.Error("protoactor has not forgotten a connection that is lost", "node", l.node)
	}
}

// settle makes it down.
func (l *link) settle(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failures == 0 && l.remote.life.Err() == nil {
		l.remote.config.Logger.Warn("a node is not connected", "node", l.node, "error", err)
	}
	pause := min(firstPause<<min(l.failures, 10), mostPause)
	l.failures++
	l.retry = time.Now().Add(pause)
	l.state = down
}

// cut ends the connection, if there is one.
func (l *link) cut(err error) {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c != nil {
		c.lose(err)
	}
}

// send hands a message to protoactor, for a node in the session that is meant. Who waits for
// an answer gives a call.
func (l *link) send(session string, m proto.Message, number uint64, c *call) error {
	size := proto.Size(m)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.state != up || l.conn.session != session:
		return l.unreachable()
	case l.unsent > 0 && l.unsent+size > unsentBytes:
		return cell.Errorf(cell.Busy, "%d bytes wait to be sent to node %s; try again later", l.unsent, l.node)
	case c != nil && len(l.calls) == unansweredCount:
		return cell.Errorf(cell.Busy, "node %s has %d questions to answer; try again later", l.node, len(l.calls))
	}
	if c != nil {
		l.calls[number] = c
	}
	l.hand(m, size)
	return nil
}

// tell sends what is not asked, also before the other node has greeted.
func (l *link) tell(m proto.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == greeting || l.state == up {
		l.hand(m, proto.Size(m))
	}
}

// hand is called with mu held, so that nothing is given to protoactor after ending.
func (l *link) hand(m proto.Message, size int) {
	l.unsent += size
	l.remote.protoactor.Root.Send(l.pid, m)
}

// sent is told of bytes that the network has taken.
func (l *link) sent(c *connection, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == c {
		l.unsent -= bytes
	}
}

// answered gives an answer to who waits for it.
func (l *link) answered(reply *envelope.CellReply) {
	l.mu.Lock()
	c := l.calls[reply.Call]
	delete(l.calls, reply.Call)
	l.mu.Unlock()
	if c != nil {
		c.done <- outcome{reply: reply}
	}
}

// forget is for who waits no longer.
func (l *link) forget(number uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.calls, number)
}
