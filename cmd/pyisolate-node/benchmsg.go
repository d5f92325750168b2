package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// sends permits a cell to send to another, and to tell the time.
const sends = "version: \"1.0\"\nsandboxes:\n  main:\n    imports: [time]\n    capabilities:\n      send: {names: [%s], rps: 1000000}\n"

// packed is what a message to another cell is made of: its address, and after that its bytes.
const packed = `
head = b'{"to": "%s"}'
head = len(head).to_bytes(4, "big") + head
`

// pingSource sends 1 kB to the peer and waits for its answer, and posts how long half of that
// took each time; pongSource answers.
const (
	pingSource = packed + `
from time import perf_counter_ns as now
text = bytes(%d)
took = []
for i in range(%d):
    begun = now()
    request("send", "send", head + text)
    recv()
    took.append((now() - begun) / 2000)
post(took[%d:])
`
	pongSource = packed + `
for i in range(%d):
    request("send", "send", head + recv())
`
)

// pair starts two cells that may send to each other.
func (n *benchNode) pair(ctx context.Context, a, b string) error {
	return errors.Join(n.spawn(ctx, a, fmt.Sprintf(sends, b), ""), n.spawn(ctx, b, fmt.Sprintf(sends, a), ""))
}

// both runs a program in each cell and returns what the first posts.
func (n *benchNode) both(ctx context.Context, a, codeA, b, codeB string) (posted []byte, err error) {
	c, ended := n.cells(false), make(chan error, 1)
	go func() {
		_, err := c.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bench", Name: b, Code: codeB}))
		ended <- err
	}()
	_, err = c.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Tenant: "bench", Name: a, Code: codeA}))
	if err := errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	got, err := c.Recv(ctx, connect.NewRequest(&pb.RecvRequest{Tenant: "bench", Name: a}))
	if err != nil {
		return nil, err
	}
	return []byte(got.Msg.GetItems()[0].GetPost().GetJson()), nil
}

// guestToGuest times messages of 1 kB from one guest to another.
func guestToGuest(ctx context.Context, n *benchNode, samples int, r *benchResult) (took []float64, err error) {
	if err := n.pair(ctx, "ping", "pong"); err != nil {
		return nil, err
	}
	rounds := tripWarmup + samples
	posted, err := n.both(ctx, "ping", fmt.Sprintf(pingSource, "pong", tripBytes, rounds, tripWarmup), "pong", fmt.Sprintf(pongSource, "ping", rounds))
	if err == nil {
		err = json.Unmarshal(posted, &took)
	}
	r.addNote("half of there and back")
	return took, err
}

// batchOf is how many messages one send has, batches how many a sample has.
const (
	batchOf = 100
	batches = 200
)

// floodSource sends batches, drainSource takes the messages out of them and posts how many came
// in a second.
const (
	floodSource = packed + `
batch = b"".join([bytes(%d)] * %d)
for i in range(%d):
    request("send", "send", head + batch)
`
	drainSource = `
from time import perf_counter as now
begun, n, size = now(), 0, %d
for i in range(%d):
    batch = recv()
    for at in range(0, len(batch), size):
        message = batch[at:at + size]
        n += len(message) == size
post(n / (now() - begun))
`
)

// batched counts messages of 1 kB a second, sent many at once.
func batched(ctx context.Context, n *benchNode, samples int, r *benchResult) (rates []float64, err error) {
	if err := n.pair(ctx, "drain", "flood"); err != nil {
		return nil, err
	}
	for range samples {
		posted, err := n.both(ctx, "drain", fmt.Sprintf(drainSource, tripBytes, batches), "flood", fmt.Sprintf(floodSource, "drain", tripBytes, batchOf, batches))
		if err != nil {
			return nil, err
		}
		var rate float64
		if err := json.Unmarshal(posted, &rate); err != nil {
			return nil, err
		}
		rates = append(rates, rate)
	}
	r.addNote(fmt.Sprintf("%d messages a send", batchOf))
	return rates, nil
}
