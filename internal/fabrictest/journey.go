package fabrictest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
)

// traveller is what the cell of a journey runs. What comes late, from a round before, it leaves.
const traveller = `
import random, time
boot, round, log, heard, digest = time.monotonic_ns(), 0, [], [], 0
ballast = random.Random(1).randbytes(%d)
def listen():
    while True:
        try:
            n, word = recv(timeout=0)
        except Exception:
            return
        if n == round:
            heard.append(word)
def begin(n):
    global round, log, heard, digest
    listen()
    round, log, heard, digest = n, [], [], 0
def add(n, token):
    global digest
    listen()
    if n != round:
        return [0, 0]
    log.append(token)
    digest = (digest * 31 + token) %% 2147483647
    post([n, len(log), token])
    return [len(log), digest]
def beat():
    return [boot, time.monotonic_ns()]
def tell():
    listen()
    return {"log": log, "heard": heard, "digest": digest}
`

// insistence is how long a client repeats a call of unknown outcome.
const insistence = 30 * time.Second

// adders are how many clients have the cell count at the same time.
const adders = 2

// Journey is a cell that is asked, told and heard, by way of every node that runs, while it moves.
// Rounds are one after the other.
type Journey struct {
	Fabric *Fabric
	Cell   string
	// Seed of what the clients choose.
	Seed uint64
	// Ballast is how many bytes the state has beside what it counts; they do not compress.
	Ballast int
	// Ear is the node where what the cell posts is heard; nil: any that runs.
	Ear *Node

	ended    []string // cells that were closed, or were found to be gone
	round    int64
	requests atomic.Int64
	lives    History
	had      leases // when the last round was over: a lease may lapse by it a little later
}

// Begin spawns the cell on a node.
func (j *Journey) Begin(ctx context.Context, node string) error {
	n := j.running(chanceOf(j.Seed, 2))
	request := &pb.SpawnRequest{Name: j.Cell, Placement: &pb.Placement{Node: node}}
	if j.Ballast > 16<<20 { // the state is there several times while it is taken out and put in
		request.Document = fmt.Sprintf("version: 1.0\nsandboxes:\n  heavy: { mem: %dMiB, imports: [random, time] }\n", 4*j.Ballast>>20+64)
	}
	answer, err := n.Bearer.Cells.Spawn(ctx, connect.NewRequest(request))
	if err != nil {
		return fmt.Errorf("fabrictest: spawn %s: %w", j.Cell, err)
	}
	_, err = n.Bearer.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: j.Cell, Id: answer.Msg.GetReport().GetId(), Code: fmt.Sprintf(traveller, j.Ballast)}))
	return err
}

// End closes the cell, whatever became of it: one that is suspended goes on some day, and is in the way of who
// waits for another.
func (j *Journey) End(ctx context.Context) error {
	err := j.again(ctx, chanceOf(j.Seed, uint64(j.requests.Add(1))), func(ctx context.Context, n *Node) error {
		_, err := n.Bearer.Cells.Close(ctx, connect.NewRequest(&pb.CloseRequest{Name: j.Cell}))
		return err
	})
	if err != nil && !gone(err) {
		return fmt.Errorf("fabrictest: close %s: %w", j.Cell, err)
	}
	j.ended = append(j.ended, j.Cell)
	return nil
}

// alive are states of cells that run, or will.
var alive = []string{"starting", "running", "restarting", "suspended"}

// StayClosed checks that what was ended is gone, at every node: it has not come back.
func (j *Journey) StayClosed(ctx context.Context) error {
	var wrong []error
	for _, n := range j.Fabric.Nodes {
		answer, err := n.Client.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
		if err != nil {
			return fmt.Errorf("fabrictest: list the cells of %s: %w", n.Name, err)
		}
		for _, r := range answer.Msg.GetReports() {
			if name := r.GetCell().GetName(); slices.Contains(j.ended, name) && slices.Contains(alive, r.GetState()) {
				wrong = append(wrong, fmt.Errorf("cell %s was closed, and %s says that it is %s at %q", name, n.Name, r.GetState(), r.GetNode()))
			}
		}
	}
	return errors.Join(wrong...)
}

// running is one of the nodes that run.
func (j *Journey) running(r *rand.Rand) *Node {
	for _, i := range r.Perm(len(j.Fabric.Nodes)) {
		if j.Fabric.Nodes[i].active() {
			return j.Fabric.Nodes[i]
		}
	}
	return j.Fabric.Nodes[0]
}

// Where the cell is, as a node that runs tells it.
func (j *Journey) Where(ctx context.Context) (r *pb.CellReport, err error) {
	chance := chanceOf(j.Seed, uint64(j.requests.Add(1)))
	for {
		try, cancel := context.WithTimeout(ctx, callTime)
		answer, e := j.running(chance).Bearer.Cells.Inspect(try, connect.NewRequest(&pb.InspectRequest{Name: j.Cell}))
		cancel()
		if err = e; err == nil {
			return answer.Msg.GetReport(), nil
		}
		if gone(err) || pause(ctx) != nil {
			return nil, fmt.Errorf("fabrictest: inspect %s: %w", j.Cell, err)
		}
	}
}

func gone(err error) bool {
	kind := kindOf(err)
	return kind == "NotFound" || kind == cell.CellGone.String()
}

// ErrLost is that the cell of a journey is gone, or suspended.
var ErrLost = errors.New("fabrictest: the cell is lost")

// Round has clients call until during returns, and judges what they saw by what that says is excused.
// ErrLost, if nothing else is wrong: the cell is gone, which during must have excused.
func (j *Journey) Round(ctx context.Context, during func(context.Context) (Leniency, error)) (*Transcript, error) {
	j.round++
	if j.had == nil {
		j.had = j.Fabric.leases(ctx)
	}
	t := &Transcript{since: j.requests.Load()}
	chance := chanceOf(j.Seed, uint64(10000+j.round))
	if _, err := j.insist(ctx, chance, "begin", fmt.Sprintf("[%d]", j.round)); err != nil {
		may, err := j.lapsed(ctx, nil, Leniency{}, err)
		t.Lapsed = may.Lapsed
		return t, fmt.Errorf("round %d does not begin: %w", j.round, err)
	}
	listening, deaf := context.WithCancel(ctx)
	defer deaf()
	var ears, clients sync.WaitGroup
	ears.Go(func() { j.hear(listening, chanceOf(j.Seed, uint64(j.requests.Add(1))), t) })
	over := make(chan struct{})
	for _, client := range j.clients(t) {
		chance := chanceOf(j.Seed, uint64(j.requests.Add(1)))
		clients.Go(func() {
			for more := true; more && !closed(over); wait(ctx, time.Duration(2+chance.IntN(10))*time.Millisecond) {
				more = client(ctx, chance)
			}
		})
	}
	may, err := during(ctx)
	t.Lapsed = may.Lapsed
	close(over)
	clients.Wait()
	if err == nil {
		err = j.judge(ctx, t, may, chance)
	}
	deaf()
	ears.Wait()
	if err != nil {
		return t, fmt.Errorf("round %d: %w", j.round, err)
	}
	return t, nil
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// judge asks the cell for its state and holds it against what clients saw.
func (j *Journey) judge(ctx context.Context, t *Transcript, may Leniency, chance *rand.Rand) error {
	told, err := j.insist(ctx, chance, "tell", "[]")
	if gone(err) && may.Lost {
		return ErrLost
	}
	if err != nil {
		return fmt.Errorf("the cell does not tell its state: %w", err)
	}
	var s State
	if err := json.Unmarshal([]byte(told), &s); err != nil {
		return fmt.Errorf("the cell told %.80q: %w", told, err)
	}
	if !may.Lost && !may.Broken && !Until(ctx, func() bool { return t.caughtUp(int64(len(s.Log))) }) {
		err = fmt.Errorf("of %d posts not all are received", len(s.Log))
	}
	j.lives.mu.Lock()
	lives := checkLives(j.lives.lives)
	j.lives.mu.Unlock()
	return errors.Join(err, t.Check(s, may), lives)
}

// clients each do one thing at a time, until they return false.
func (j *Journey) clients(t *Transcript) []func(context.Context, *rand.Rand) bool {
	all := []func(context.Context, *rand.Rand) bool{j.beat}
	for range adders {
		all = append(all, func(ctx context.Context, chance *rand.Rand) bool { return j.add(ctx, chance, t) })
	}
	return append(all, func(ctx context.Context, chance *rand.Rand) bool { return j.chat(ctx, chance, t) })
}

// insist has the cell's function called once, however often it has to be asked for, and by way of
// whatever node runs.
func (j *Journey) insist(ctx context.Context, chance *rand.Rand, target, args string) (string, error) {
	id := fmt.Sprintf("%x-%s-%d", j.Seed, target, j.requests.Add(1))
	var said string
	err := j.again(ctx, chance, func(ctx context.Context, n *Node) error {
		answer, err := n.Bearer.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: j.Cell, Target: target, Args: args, RequestId: id, Acknowledged: true}))
		if err == nil {
			said = answer.Msg.GetValue().GetJson()
		}
		return err
	})
	return said, err
}

// again repeats a call until its outcome is known, the cell is gone, or patience ends.
func (j *Journey) again(ctx context.Context, chance *rand.Rand, call func(context.Context, *Node) error) error {
	ctx, cancel := context.WithTimeout(ctx, insistence)
	defer cancel()
	for {
		try, done := context.WithTimeout(ctx, callTime)
		err := call(try, j.running(chance))
		done()
		if err == nil || gone(err) || kindOf(err) == cell.GuestError.String() {
			return err
		}
		if pause(ctx) != nil {
			return err
		}
	}
}

func (j *Journey) add(ctx context.Context, chance *rand.Rand, t *Transcript) bool {
	a := Added{Token: j.requests.Add(1), Outcome: Unknown}
	said, err := j.insist(ctx, chance, "add", fmt.Sprintf("[%d, %d]", j.round, a.Token))
	var answer [2]int64
	if err == nil && json.Unmarshal([]byte(said), &answer) == nil && answer[0] > 0 {
		a.Number, a.Digest, a.Outcome = answer[0], answer[1], Done
	}
	t.answered(a)
	return true
}

// chat tells the cell the next word. After one of unknown outcome there is none.
func (j *Journey) chat(ctx context.Context, chance *rand.Rand, t *Transcript) bool {
	_, told, _ := t.Size()
	id := fmt.Sprintf("%x-chat-%d", j.Seed, j.requests.Add(1))
	value := &pb.Value{Kind: &pb.Value_Json{Json: fmt.Sprintf("[%d, %d]", j.round, told+1)}}
	err := j.again(ctx, chance, func(ctx context.Context, n *Node) error {
		_, err := n.Bearer.Cells.Send(ctx, connect.NewRequest(&pb.SendRequest{Name: j.Cell, Value: value, RequestId: id, Acknowledged: true}))
		return err
	})
	if err != nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told++
	return true
}

// beat has the cell say when it runs. It is asked once, so that who answers is who runs.
func (j *Journey) beat(ctx context.Context, chance *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	answer, err := j.running(chance).Client.Cells.Call(ctx, connect.NewRequest(&pb.CallRequest{Name: j.Cell, Target: "beat"}))
	var said [2]int64
	if err == nil && json.Unmarshal([]byte(answer.Msg.GetValue().GetJson()), &said) == nil {
		note(&j.lives, &j.lives.lives, Life{Cell: j.Cell, Epoch: answer.Msg.GetEpoch(), Boot: said[0], At: said[1]}, nil)
	}
	return true
}

// hear receives what the cell posts, by way of one node as long as that works.
func (j *Journey) hear(ctx context.Context, chance *rand.Rand, t *Transcript) {
	for ctx.Err() == nil {
		at := j.Ear
		if at == nil {
			at = j.running(chance)
		}
		stream, err := at.Client.Cells.Stream(ctx, connect.NewRequest(&pb.StreamRequest{Name: j.Cell}))
		if err == nil {
			for stream.Receive() {
				var said [3]int64
				if post := stream.Msg().GetPost(); post != nil && json.Unmarshal([]byte(post.GetJson()), &said) == nil && said[0] == j.round {
					t.posted(Added{Number: said[1], Token: said[2]})
				}
			}
			err = stream.Err()
			_ = stream.Close()
			if err != nil && ctx.Err() == nil && !gone(err) {
				j.Fabric.options.Logf("the stream of %s broke: %v", j.Cell, err)
			}
		}
		_ = pause(ctx)
	}
}
