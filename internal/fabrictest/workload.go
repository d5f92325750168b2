package fabrictest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

const (
	// callTime is how long a client waits for an answer.
	callTime = 3 * time.Second
	// tries of a client that repeats a change of unknown outcome, with the same request id.
	tries = 4
	// names of policies, of cells that count, and of cells that tell when they run.
	policies, counters, pulses = 3, 6, 3
	// generation is after how many calls of policies others are taken: nodes keep a thousand versions of
	// each, and what is to be judged must be there when all is over.
	generation = 2500
)

// Workload calls the nodes of a Fabric: for each one client that puts and reads policies, and one
// that spawns cells, has them count and closes them; and some that have guests tell when they run.
type Workload struct {
	Fabric *Fabric
	// Seed of what the clients choose.
	Seed uint64
	// History of what they saw.
	History *History

	requests atomic.Uint64
	calls    atomic.Uint64 // of policies
}

// Run calls until ctx ends, and returns when all clients have ended.
func (w *Workload) Run(ctx context.Context) {
	var clients sync.WaitGroup
	number := 0
	begin := func(client func(context.Context, *caller)) {
		number++
		c := &caller{Workload: w, number: number, chance: chanceOf(w.Seed, uint64(1000+number))}
		clients.Go(func() { client(ctx, c) })
	}
	for _, n := range w.Fabric.Nodes {
		begin(func(ctx context.Context, c *caller) { c.policies(ctx, n) })
		begin(func(ctx context.Context, c *caller) { c.cells(ctx, n) })
	}
	for i := range pulses {
		begin(func(ctx context.Context, c *caller) { c.pulse(ctx, fmt.Sprint("pulse", i)) })
	}
	clients.Wait()
}

// caller is one client, and used by one goroutine.
type caller struct {
	*Workload
	number int
	chance *rand.Rand
}

// request is an id that no other call has.
func (c *caller) request() string {
	return fmt.Sprintf("%x-%d", c.Seed, c.requests.Add(1))
}

// rest keeps the clients from taking all of the processor, and histories short.
func (c *caller) rest(ctx context.Context) {
	wait(ctx, time.Duration(10+c.chance.IntN(40))*time.Millisecond)
}

func (c *caller) node() *Node { return c.Fabric.Nodes[c.chance.IntN(len(c.Fabric.Nodes))] }

// policies has the client put and read at one node, and repeat at any.
func (c *caller) policies(ctx context.Context, n *Node) {
	last := map[string]uint64{} // numbers that it has seen
	for ctx.Err() == nil {
		call := PolicyCall{Client: c.number, Policy: fmt.Sprintf("policy%d-%d", c.calls.Add(1)/generation, c.chance.IntN(policies))}
		var err error
		switch c.chance.IntN(4) {
		case 0, 1:
			err = c.read(ctx, n, &call)
		case 2:
			number := last[call.Policy]
			call.Expect = &number
			err = c.put(ctx, n, &call)
		default:
			err = c.put(ctx, n, &call)
		}
		if call.Outcome == Done {
			last[call.Policy] = call.Number
		}
		note(c.History, &c.History.policies, call, err)
		c.rest(ctx)
	}
}

func (c *caller) read(ctx context.Context, n *Node, call *PolicyCall) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	call.Called = c.History.now()
	answer, err := n.Client.Policies.Get(ctx, connect.NewRequest(&pb.GetRequest{Name: call.Policy}))
	call.Returned = c.History.now()
	if connect.CodeOf(err) == connect.CodeNotFound || kindOf(err) == "NotFound" {
		return nil // an answer, too
	}
	if call.Outcome = outcomeOf(err); err == nil {
		call.Number, call.Text = answer.Msg.GetVersion().GetNumber(), string(answer.Msg.GetVersion().GetText())
	}
	return err
}

// document is a policy that differs from all others.
func document(what string) string {
	return fmt.Sprintf("# %s\nversion: 1.0\nsandboxes:\n  one:\n    imports: [math]\n", what)
}

// put repeats what has no known outcome, at any node, and so tells that it is the same: to a node, who
// calls at its socket without a token is another than who does so at another one's.
func (c *caller) put(ctx context.Context, n *Node, call *PolicyCall) (err error) {
	call.Write = true
	id := c.request()
	call.Text = document(id)
	call.Called = c.History.now()
	for try := range tries {
		var answer *connect.Response[pb.PutResponse]
		answer, err = putOnce(ctx, n, &pb.PutRequest{Name: call.Policy, Text: []byte(call.Text), Expect: call.Expect, RequestId: id})
		outcome := outcomeOf(err)
		if outcome == Done {
			call.Number = answer.Msg.GetVersion().GetNumber()
		}
		if outcome == Refused && try > 0 {
			outcome = Unknown // this time; before that it may have been done
		}
		call.Outcome, call.Returned = outcome, c.History.now()
		if outcome != Unknown || ctx.Err() != nil {
			return err
		}
		n = c.node()
		c.rest(ctx)
	}
	return err
}

func putOnce(ctx context.Context, n *Node, r *pb.PutRequest) (*connect.Response[pb.PutResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return n.Bearer.Policies.Put(ctx, connect.NewRequest(r))
}
