package fabrictest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/failpoint"
)

const (
	// beyondLeases is how long a node is stopped or cut off: twice a lease.
	beyondLeases = 6 * time.Second
	// reachTime is how long a move may take to a point.
	reachTime = 30 * time.Second
)

// passage is one move with a case in it.
type passage struct {
	*travel
	Case
	at   *Node // that reaches the point
	over chan error
}

// Pass moves the cell to another node and has a case happen. It returns when all is well again, and what is
// excused: by the case, or by leases that lapsed beside it. The fabric must be Steered.
func (j *Journey) Pass(ctx context.Context, c Case) (Leniency, error) {
	p, err := j.carry(ctx, c)
	if err == nil {
		err = j.Fabric.Converge(ctx)
	}
	var struck *Node
	if p != nil {
		struck = p.victim
	}
	return j.lapsed(ctx, struck, c.excuses(), err)
}

// carry has the case happen, and returns when everybody runs again. With an error the passage may be nil.
func (j *Journey) carry(ctx context.Context, c Case) (*passage, error) {
	moving, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	p, err := j.reach(moving, c)
	if err == nil {
		err = p.strike(ctx)
	}
	if err != nil {
		return p, errors.Join(err, j.Fabric.release(), j.Fabric.Heal())
	}
	err = <-p.over
	j.Fabric.options.Logf("%s: %s to %s: %v", c, p.source.Name, p.target.Name, err)
	return p, nil
}

// errMissed is that a move was over before it had come to the point.
var errMissed = errors.New("the move is over")

// reach begins a move, and returns when it has come to the case's point. On a busy machine one may be refused:
// then there is another. With an error the passage may be nil.
func (j *Journey) reach(ctx context.Context, c Case) (*passage, error) {
	for {
		p, err := j.passage(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := p.arm(); err != nil {
			return nil, err
		}
		go func() {
			_, err := j.Move(ctx, p.by, p.target.Name, func(string) {})
			p.over <- err
		}()
		if err = p.veer(ctx); err == nil {
			err = p.await(ctx, p.at, p.point)
		}
		if !errors.Is(err, errMissed) {
			return p, err
		}
		j.Fabric.options.Logf("%s: %v", c, err)
		if failed := j.Fabric.release(); failed != nil || pause(ctx) != nil {
			return nil, errors.Join(err, failed)
		}
	}
}

// passage chooses who has which part: the leader another one than source and target. From a leader the cell is
// moved before.
func (j *Journey) passage(ctx context.Context, c Case) (*passage, error) {
	for {
		t, err := j.plan(ctx, Mishap{})
		if err != nil {
			return nil, err
		}
		if t.leader == t.target {
			t.target, t.by = t.by, t.target
		}
		if t.leader == t.by {
			p := &passage{travel: t, Case: c, over: make(chan error, 1)}
			p.at, p.victim = p.who(c.at), p.who(c.Role)
			return p, nil
		}
		if _, err := j.Move(ctx, t.by, t.target.Name, func(string) {}); err != nil && pause(ctx) != nil {
			return nil, fmt.Errorf("fabrictest: the cell does not leave the leader: %w", err)
		}
	}
}

func (t *travel) who(r Role) *Node {
	return map[Role]*Node{Source: t.source, Target: t.target, Leader: t.leader}[r]
}

// arm says what happens at the points: who is the victim ends or stops by itself, another waits for what happens.
func (p *passage) arm() error {
	a := failpoint.Wait
	switch {
	case p.at != p.victim:
	case p.Kind == Kill:
		a = failpoint.Kill
	case p.Kind == Pause:
		a = failpoint.Stop
	}
	err := p.at.Points().Arm(p.point, a, p.hit)
	switch p.turn {
	case recalled:
		err = errors.Join(err, p.source.Points().Arm("move.taken", failpoint.Wait, 1))
	case unfit:
		err = errors.Join(err, p.target.Points().Arm("arrival.owned", failpoint.Wait, 1))
	}
	return err
}

// await returns when a node has reached a point.
func (p *passage) await(ctx context.Context, n *Node, point string) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	for !n.Points().Reached(point) {
		select {
		case err := <-p.over:
			if n.Points().Reached(point) {
				p.over <- err
				return nil
			}
			if err == nil {
				err = errors.New("it has come about")
			}
			return fmt.Errorf("%w, and %s has not reached %s: %w", errMissed, n.Name, point, err)
		default:
			if err := pause(ctx); err != nil {
				return fmt.Errorf("%s has not reached %s: %w", n.Name, point, err)
			}
		}
	}
	return nil
}

// veer has the move come to nothing, where the case needs that.
func (p *passage) veer(ctx context.Context) error {
	switch p.turn {
	case recalled:
		if err := p.await(ctx, p.source, "move.taken"); err != nil {
			return err
		}
		go func() { // it is answered when the move is over
			_, _ = p.by.Bearer.Cells.AbortMigration(ctx, connect.NewRequest(&pb.AbortMigrationRequest{Name: p.Cell}))
		}()
		wait(ctx, 200*time.Millisecond) // nobody tells that it is heard
		return p.source.Points().Release("move.taken")
	case unfit:
		if err := p.await(ctx, p.target, "arrival.owned"); err != nil {
			return err
		}
		return errors.Join(p.target.loseHosts(), p.target.Points().Release("arrival.owned"))
	}
	return nil
}

// loseHosts is what a kernel may do to a node's cells.
func (n *Node) loseHosts() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	pids, err := processesOf(n.program)
	if n.command != nil {
		pids = slices.DeleteFunc(pids, func(pid int) bool { return pid == n.command.Process.Pid })
	}
	if err == nil && len(pids) == 0 {
		err = fmt.Errorf("fabrictest: %s has no host to lose", n.Name)
	}
	return errors.Join(err, signalAll(pids, syscall.SIGKILL))
}

// strike has happen what the point was waited for, and all be well again.
func (p *passage) strike(ctx context.Context) error {
	hold := beyondLeases
	if p.Kind == Kill {
		hold = 500 * time.Millisecond
	}
	fault := Fault{Kind: p.Kind, Node: p.victim.Name, Hold: hold}
	if err := p.Fabric.begin(fault); err != nil {
		return fmt.Errorf("%s: %w", fault, err)
	}
	if err := p.Fabric.release(); err != nil {
		return err
	}
	wait(ctx, hold)
	return p.Fabric.Heal()
}

// release has everybody go on who waits at a point.
func (f *Fabric) release() error {
	var failed []error
	for _, n := range f.Nodes {
		files, err := os.ReadDir(string(n.Points()))
		failed = append(failed, err)
		for _, one := range files {
			failed = append(failed, os.Remove(filepath.Join(string(n.Points()), one.Name())))
		}
	}
	return errors.Join(failed...)
}
