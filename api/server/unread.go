package server

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/policystore"
)

// maxAnswers is of the bytes of answers that are made and not taken. What one within a tenant may have is room
// for all that a cell's outbox holds.
const maxAnswers = 16 * maxCellMessage

// unread counts the bytes of a call's answers until they are taken. It is for one goroutine.
type unread struct {
	room *slots // nil: nobody counts them
	who  holders
	kept bool   // the answer is held, until the call ends,
	give func() // and this is called
}

type unreadKey struct{}

func unreadOf(ctx context.Context) *unread {
	u, _ := ctx.Value(unreadKey{}).(*unread)
	return u
}

// hold counts n bytes until give is called, unless there are too many. What is small is not counted: there is no more
// of it than calls.
func (u *unread) hold(n int) (give func(), err error) {
	if u == nil || u.room == nil || n <= smallMessage {
		return func() {}, nil
	}
	if !u.room.take(u.who, int64(n)) {
		return nil, errAnswers
	}
	return func() { u.room.give(u.who, int64(n)) }, nil
}

// keep is hold for an answer, until the call ends. A handler that would lose what it answers with does it before.
func (u *unread) keep(answer any) error {
	if u == nil || u.kept {
		return nil
	}
	give, err := u.hold(sizeOf(answer))
	if err == nil {
		u.kept, u.give = true, give
	}
	return err
}

// release gives back what is kept.
func (u *unread) release() {
	if u.kept {
		u.give()
	}
}

func sizeOf(message any) int {
	if m, ok := message.(proto.Message); ok {
		return proto.Size(m)
	}
	return 0
}

// unreadStream is a stream whose messages are counted while they are sent.
type unreadStream struct {
	connect.StreamingHandlerConn
	*unread
}

// Send implements connect.StreamingHandlerConn.
func (c unreadStream) Send(message any) error {
	give, err := c.hold(sizeOf(message))
	if err != nil {
		return err
	}
	defer give()
	return c.StreamingHandlerConn.Send(message)
}

var errAnswers = fmt.Errorf("%w: too many bytes of answers wait to be taken; take them, or ask for less at once; what this call was to do is done", policystore.ErrLimited)
