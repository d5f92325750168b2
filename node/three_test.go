package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pyisolate/pyisolate/api/client"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// process is a node of a cluster, and its admin.
type process struct {
	*client.Client
	t          *testing.T
	name, data string
	logged     *logged.Text
	running    *exec.Cmd
}

// processes are three nodes of a cluster, all of which are ready and see each other.
func processes(t *testing.T) (all []*process) {
	t.Helper()
	dir := t.TempDir()
	for i := range 3 {
		p := &process{t: t, name: "n" + strconv.Itoa(i+1), logged: &logged.Text{}}
		p.data = filepath.Join(dir, p.name)
		if i == 0 {
			found(t, p.data, p.name)
		} else {
			var invited *connect.Response[pb.InviteResponse]
			succeeds(t, "a node is invited", func() (err error) { // the leader may just change
				invited, err = all[0].Cluster.Invite(t.Context(), connect.NewRequest(&pb.InviteRequest{Lifetime: durationpb.New(time.Minute)}))
				return err
			})
			err := WithData(p.data, "v1", func(dir string) error {
				return cluster.Join(t.Context(), cluster.Joining{Dir: filepath.Join(dir, ClusterDir), Token: invited.Msg.GetToken(), Node: p.name, Address: loopback.Address()})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		p.start()
		all = append(all, p)
	}
	for _, p := range all {
		p.seesAll(3)
		await.That(t, p.name+" knows that all vote: one may be lost now", func() bool {
			text := metrics(t, p.data+".sock")
			return strings.Contains(text, `pyisolate_cluster_members{state="voter"} 3`) && strings.Contains(text, `pyisolate_cluster_members{state="policy-voter"} 3`)
		})
	}
	return all
}

// start runs the node and waits until it answers.
func (p *process) start() {
	p.t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env, c.Stderr = append(os.Environ(), nodeEnv+"="+p.data), p.logged
	in, err := c.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running = c
	p.t.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		_ = c.Wait() // the test may have killed it
		if p.t.Failed() {
			p.t.Logf("%s has logged:\n%s", p.name, p.logged)
		}
	})
	if p.Client == nil {
		if p.Client, err = client.New(client.Config{Socket: p.data + ".sock"}); err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(p.Close)
	}
	await.That(p.t, p.name+" answers", func() bool {
		_, err := p.Nodes.ListNodes(p.t.Context(), connect.NewRequest(&pb.ListNodesRequest{}))
		return err == nil
	})
}

// seesAll waits until the node knows that so many may run cells.
func (p *process) seesAll(count int) {
	p.t.Helper()
	await.That(p.t, p.name+" sees all nodes", func() bool {
		out, err := p.Cluster.ListMembers(p.t.Context(), connect.NewRequest(&pb.ListMembersRequest{}))
		if err != nil {
			return false
		}
		open := 0
		for _, m := range out.Msg.GetMembers() {
			if m.GetSession() && m.GetState() == string(cluster.Alive) {
				open++
			}
		}
		return open == count
	})
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.running.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// spawn starts a cell on a node by way of this one, under the policy one.
func (p *process) spawn(name, on string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	_, err := p.Cells.Spawn(ctx, connect.NewRequest(&pb.SpawnRequest{Name: name, Policy: &pb.PolicyRef{Name: "one"}, Placement: &pb.Placement{Node: on}}))
	return err
}

func (p *process) exec(name, code string) error {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	_, err := p.Cells.Exec(ctx, connect.NewRequest(&pb.ExecRequest{Name: name, Code: code}))
	return err
}

func (p *process) put(text string) {
	p.t.Helper()
	request := rand.Text()
	succeeds(p.t, "a policy is put", func() error { // the leader may just change
		_, err := p.Policies.Put(p.t.Context(), connect.NewRequest(&pb.PutRequest{Name: "one", Text: []byte(text), RequestId: request}))
		return err
	})
}

func TestThreeNodesAreOne(t *testing.T) {
	all := processes(t)
	all[2].put(onePolicy)
	for i, p := range all {
		name := "c" + strconv.Itoa(i)
		// The store of the node that is to run it may not have the policy yet.
		succeeds(t, "a cell starts on "+p.name, func() error { return all[(i+1)%3].spawn(name, p.name) })
		for _, from := range all {
			succeeds(t, "it is reached from "+from.name, func() error { return from.exec(name, "import math; x = math.sqrt(4)") })
		}
	}
	succeeds(t, "all are listed where they are", func() error { // a node may be too slow to tell
		out, err := all[0].Cells.List(t.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
		if err != nil {
			return err
		}
		where := map[string]string{}
		for _, r := range out.Msg.GetReports() {
			where[r.GetCell().GetName()] = r.GetNode()
		}
		if where["c0"] != "n1" || where["c1"] != "n2" || where["c2"] != "n3" {
			return fmt.Errorf("the cells are at %v", where)
		}
		return nil
	})

	// A policy that is put on n3 is enforced in a guest that runs on n1.
	if err := all[0].exec("c0", "import json"); cell.KindOf(err) != cell.PolicyDenied {
		t.Errorf("what the policy does not permit: %v", err)
	}
	began := time.Now()
	all[2].put(strings.Replace(onePolicy, "[math]", "[math, json]", 1))
	succeeds(t, "the guest on n1 may import json", func() error { return all[0].exec("c0", "import json") })
	t.Logf("a policy put on n3 was in force on n1 after %s", time.Since(began).Round(time.Millisecond))
}

// A node that stands still for longer than its lease has no guest any more when its cells' names are
// others', and knows it when it goes on.
func TestANodeThatWasStopped(t *testing.T) {
	all := processes(t)
	all[0].put(onePolicy)
	var stopped, other *process
	for _, p := range all { // one that does not lead
		s, err := p.Cluster.Status(t.Context(), connect.NewRequest(&pb.StatusRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if s.Msg.GetLeader() != p.name && stopped == nil {
			stopped = p
		} else {
			other = p
		}
	}
	succeeds(t, "a cell starts", func() error { return other.spawn("web", stopped.name) })
	stopped.signal(syscall.SIGSTOP)
	began := time.Now()
	succeeds(t, "the name is another node's", func() error { return other.spawn("web", other.name) })
	t.Logf("a cell of a node that stands still was started elsewhere after %s", time.Since(began).Round(time.Millisecond))
	if hosts := running(t, stopped.running.Process.Pid); len(hosts) > 0 {
		t.Errorf("its hosts %v still run", hosts)
	}
	if err := other.exec("web", "x = 1"); err != nil {
		t.Fatal(err)
	}
	stopped.signal(syscall.SIGCONT)
	stopped.seesAll(3)
	// Until it knows what was agreed meanwhile it tells of the cell that it had.
	succeeds(t, "the node that was stopped reaches the cell that there is", func() error { return stopped.exec("web", "assert x == 1") })
	succeeds(t, "it starts cells again", func() error { return stopped.spawn("another", stopped.name) })
}

// A node that is killed takes its cells with it, whoever led.
func TestANodeThatWasKilled(t *testing.T) {
	all := processes(t)
	all[0].put(onePolicy)
	s, err := all[0].Cluster.Status(t.Context(), connect.NewRequest(&pb.StatusRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	var dead, other *process
	for _, p := range all {
		if p.name == s.Msg.GetLeader() {
			dead = p
		} else {
			other = p
		}
	}
	succeeds(t, "a cell starts", func() error { return other.spawn("web", dead.name) })
	dead.signal(syscall.SIGKILL)
	began := time.Now()
	succeeds(t, "the fabric answers", func() error { return other.spawn("after", other.name) })
	t.Logf("after the leader's death a cell was started after %s", time.Since(began).Round(time.Millisecond))
	await.That(t, "it is said that the node is gone", func() bool {
		err := other.exec("web", "x = 1")
		return cell.KindOf(err) == cell.CellGone && strings.Contains(err.Error(), dead.name)
	})
	succeeds(t, "another has its name", func() error { return other.spawn("web", other.name) })
	_ = dead.running.Wait()
	began = time.Now()
	dead.start()
	t.Logf("it answers again after %s", time.Since(began).Round(time.Millisecond))
	dead.seesAll(3)
	t.Logf("and sees all nodes after %s", time.Since(began).Round(time.Millisecond))
	succeeds(t, "back again, it reaches the cell", func() error {
		if cell.KindOf(other.exec("web", "x = 1")) == cell.CellGone { // on a busy machine its node may have lost its lease
			_ = other.spawn("web", other.name)
		}
		return dead.exec("web", "x = 1")
	})
}

// succeeds tries again and again, and tells the last error when nothing comes of it.
func succeeds(t *testing.T, what string, do func() error) {
	t.Helper()
	var last error
	if !await.Within(20*time.Second, func() bool {
		last = do()
		return last == nil
	}) {
		t.Fatalf("%s: %v", what, last)
	}
}

// running are the children of a process that are not dead.
func running(t *testing.T, parent int) (all []string) {
	t.Helper()
	pids, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	if err != nil {
		t.Skipf("the kernel does not tell children: %v", err)
	}
	for pid := range strings.FieldsSeq(string(pids)) {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if _, state, ok := strings.Cut(string(stat), ") "); err == nil && ok && state[0] != 'Z' && state[0] != 'X' {
			all = append(all, pid)
		}
	}
	return all
}

// A checkpoint is on the node that had the cell, and any node finds it there.
func TestCheckpointsInACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("three nodes take a while to start")
	}
	all := processes(t)
	calls := func(p *process) story { return story{t, nil, p.Client} }
	one, three := calls(all[0]), calls(all[2])
	succeeds(t, "a cell starts on n2", func() error { // which may still be starting
		_, err := one.calls.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: "a", Placement: &pb.Placement{Node: "n2"}}))
		return err
	})
	one.exec("a", "n = 1\ndef f(): return n")
	kept := one.checkpoint("a")
	if nodes := kept.GetNodes(); len(nodes) != 1 || nodes[0] != "n2" {
		t.Errorf("it is on %v", nodes)
	}
	if got := three.list("a"); len(got) != 1 || got[0].GetId() != kept.GetId() {
		t.Errorf("another node lists %v", got)
	}
	if _, err := three.tryRestore(&pb.RestoreRequest{Id: kept.GetId()}); !errors.Is(err, cell.Invalid) {
		t.Errorf("the name is taken: %v", err)
	}
	if got := three.restore(kept.GetId(), "b"); got.GetNode() != "n2" {
		t.Errorf("it is restored on %s", got.GetNode())
	}
	if got := one.call("b", "f"); got != "1" {
		t.Errorf("it answers %s", got)
	}
	if len(three.export(kept.GetId(), "")) != int(kept.GetSize()) {
		t.Error("another file is exported")
	}
	_, err := three.calls.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: kept.GetId()}))
	one.must(err)
	if got := one.list(""); len(got) != 0 {
		t.Errorf("there is still %v", got)
	}
}
