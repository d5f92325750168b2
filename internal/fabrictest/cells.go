package fabrictest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// counter is what cells that count run; to run it again changes nothing.
const counter = `
import time
if "boot" not in globals():
    boot, number = time.monotonic_ns(), 0
    def count():
        global number
        number += 1
        return [number, boot, time.monotonic_ns()]
`

// pulse is what cells that tell when they run, run.
const pulse = `
import time
boot = time.monotonic_ns()
while True:
    post([boot, time.monotonic_ns()])
    time.sleep(0.02)
`

func kindOf(err error) string {
	var answered *fault.Error
	if errors.As(err, &answered) {
		return answered.Kind
	}
	return ""
}

// cells has the client spawn cells at one node, have them count, and close them now and then.
func (c *caller) cells(ctx context.Context, n *Node) {
	for ctx.Err() == nil {
		name := fmt.Sprint("count", c.chance.IntN(counters))
		switch err := c.count(ctx, n, name); kindOf(err) {
		case "NotFound", cell.CellGone.String():
			if id, _, err := c.spawn(ctx, n, name); err == nil {
				_ = c.exec(ctx, n, name, id, counter) // another client does it if this one cannot
			}
		case cell.GuestError.String():
			_ = c.exec(ctx, n, name, "", counter)
		}
		if c.chance.IntN(60) == 0 {
			c.close(ctx, n, name)
		}
		c.rest(ctx)
	}
}

func (c *caller) count(ctx context.Context, n *Node, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	call := Count{Client: c.number, Cell: name}
	call.Called = c.History.now()
	request := &pb.CallRequest{Name: name, Target: "count"}
	if c.chance.IntN(2) == 0 {
		request.RequestId, request.Acknowledged = c.request(), true
	}
	answer, err := n.Client.Cells.Call(ctx, connect.NewRequest(request))
	call.Returned = c.History.now()
	call.Outcome = outcomeOf(err)
	if err == nil {
		var said [3]int64
		if err := json.Unmarshal([]byte(answer.Msg.GetValue().GetJson()), &said); err != nil {
			return fmt.Errorf("the cell %s said %v: %w", name, answer.Msg.GetValue(), err)
		}
		call.Epoch, call.Number = answer.Msg.GetEpoch(), uint64(said[0])
		note(c.History, &c.History.lives, Life{Cell: name, Epoch: call.Epoch, Boot: said[1], At: said[2]}, nil)
	}
	note(c.History, &c.History.counts, call, err)
	return err
}

// spawn returns the cell's id, and what there is to know of it.
func (c *caller) spawn(ctx context.Context, n *Node, name string) (id string, s Spawn, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	s = Spawn{Cell: name}
	s.Called = c.History.now()
	answer, err := n.Client.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: name, RequestId: c.request()}))
	s.Returned = c.History.now()
	if err != nil {
		c.History.mu.Lock()
		defer c.History.mu.Unlock()
		c.History.failed(err)
		return "", s, err
	}
	s.Epoch, s.Node = answer.Msg.GetReport().GetEpoch(), answer.Msg.GetReport().GetNode()
	note(c.History, &c.History.spawns, s, nil)
	return answer.Msg.GetReport().GetId(), s, nil
}

func (c *caller) exec(ctx context.Context, n *Node, name, id, code string) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, err := n.Client.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: name, Id: id, Code: code}))
	return err
}

func (c *caller) close(ctx context.Context, n *Node, name string) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	_, _ = n.Client.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: name}))
}

// pulse has a cell of the name run again and again, started at any node, and hears it at the node
// where it runs, which no fault of links keeps from that. While one is heard the next is tried.
func (c *caller) pulse(ctx context.Context, name string) {
	var heard sync.WaitGroup
	defer heard.Wait()
	for ctx.Err() == nil {
		id, s, err := c.spawn(ctx, c.node(), name)
		if at := c.Fabric.Node(s.Node); err == nil && at != nil {
			heard.Go(func() { c.hear(ctx, at, id, s) })
		}
		wait(ctx, 250*time.Millisecond)
	}
}

// hear notes what an incarnation says, until its end.
func (c *caller) hear(ctx context.Context, at *Node, id string, s Spawn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var runs sync.WaitGroup
	defer runs.Wait()
	runs.Go(func() {
		_, _ = at.Client.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: s.Cell, Id: id, Epoch: s.Epoch, Code: pulse}))
		wait(ctx, callTime) // the rest of what it has said
		cancel()
	})
	stream, err := at.Client.Cells.Stream(ctx, connect.NewRequest(&pb.StreamRequest{Name: s.Cell, Id: id}))
	if err != nil {
		return
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		var said [2]int64
		if post := stream.Msg().GetPost(); post != nil && json.Unmarshal([]byte(post.GetJson()), &said) == nil {
			note(c.History, &c.History.lives, Life{Cell: s.Cell, Epoch: s.Epoch, Boot: said[0], At: said[1]}, nil)
		}
	}
}
