package cluster

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"github.com/pyisolate/pyisolate/internal/await"
	wait "github.com/pyisolate/pyisolate/internal/pause"
)

// A message has as many entries as arrive in its time, whichever way it goes, and always one.
func TestEntriesOfAMessage(t *testing.T) {
	t.Parallel()
	from := tcp(t)
	to := tcp(t)
	got := make(chan int)
	go func() {
		for {
			select {
			case rpc := <-to.Consumer():
				got <- len(rpc.Command.(*raft.AppendEntriesRequest).Entries)
				rpc.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
			case <-t.Context().Done():
				return
			}
		}
	}()
	p := patient(from, func(string) bool { return true })
	line, err := p.AppendEntriesPipeline("n2", to.LocalAddr())
	must(t, err)
	defer func() { _ = line.Close() }()
	const part = batchBytes / 4
	for name, c := range map[string]struct {
		sizes []int
		want  int
	}{
		"few":            {[]int{part, part}, 2},
		"just as many":   {[]int{part, part, part, part}, 4},
		"more":           {[]int{part, part, part, part, 1}, 4},
		"one that large": {[]int{2 * batchBytes, 1}, 1},
	} {
		for way, send := range map[string]func(*raft.AppendEntriesRequest) error{
			"by itself": func(a *raft.AppendEntriesRequest) error {
				return p.AppendEntries("n2", to.LocalAddr(), a, &raft.AppendEntriesResponse{})
			},
			"in a pipeline": func(a *raft.AppendEntriesRequest) error {
				_, err := line.AppendEntries(a, &raft.AppendEntriesResponse{})
				if err == nil {
					<-line.Consumer()
				}
				return err
			},
		} {
			a := &raft.AppendEntriesRequest{Term: 1}
			for i, size := range c.sizes {
				a.Entries = append(a.Entries, &raft.Log{Index: uint64(i) + 1, Data: make([]byte, size)})
			}
			sent := make(chan error, 1)
			go func() { sent <- send(a) }()
			arrived := <-got
			must(t, <-sent)
			if arrived != c.want || len(a.Entries) != c.want {
				t.Errorf("%s, %s: %d entries arrived, and Raft takes it for %d; want %d", name, way, arrived, len(a.Entries), c.want)
			}
		}
	}
}

func tcp(t *testing.T) *raft.NetworkTransport {
	t.Helper()
	n, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, 10*time.Second, io.Discard)
	must(t, err)
	t.Cleanup(func() { _ = n.Close(); n.CloseStreams() })
	return n
}

// Raft hears of entries that a node which is there does not take in time.
func TestEntriesThatAreLate(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	held := make(chan net.Conn, 2*maxLate)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(held)
				return
			}
			held <- c // and nobody reads
		}
	}()
	defer func() {
		_ = l.Close()
		for c := range held {
			_ = c.Close()
		}
	}()
	from, err := raft.NewTCPTransport("127.0.0.1:0", nil, 1, 50*time.Millisecond, io.Discard)
	must(t, err)
	p := patient(from, func(string) bool { return true })
	defer func() { _ = p.Close() }()
	for name, size := range map[string]int{"it is not answered": 1, "it is not read": 32 << 20} {
		a := &raft.AppendEntriesRequest{Term: 1, Entries: []*raft.Log{{Index: 1, Data: make([]byte, size)}}}
		done := make(chan error, 1)
		go func() {
			done <- p.AppendEntries("n2", raft.ServerAddress(l.Addr().String()), a, &raft.AppendEntriesResponse{})
		}()
		select {
		case err := <-done:
			if !isLate(err) {
				t.Errorf("%s: %v", name, err)
			}
		case <-soon(t).Done():
			t.Errorf("%s: it is sent again and again", name)
			p.goesOn(a.Term+1, "n2")
			t.Log(<-done)
		}
	}
}

// A node that lacks more than its network carries in the time of one message gets all of it.
func TestALongLogOverASlowNetwork(t *testing.T) {
	t.Parallel()
	const entries = 24
	n1, n2 := slowRaft(t, "n1"), slowRaft(t, "n2")
	must(t, n1.BootstrapCluster(raft.Configuration{Servers: []raft.Server{{ID: "n1", Address: n1.at}}}).Error())
	await.That(t, "it leads", func() bool { return n1.State() == raft.Leader })
	for range entries {
		must(t, n1.Apply(make([]byte, batchBytes/2), 0).Error())
	}
	must(t, n1.AddNonvoter("n2", n2.at, 0, 0).Error())
	await.That(t, "the other has all", func() bool { return n2.AppliedIndex() == n1.LastIndex() })
}

type reachable struct {
	*raft.Raft
	at raft.ServerAddress
}

// slowRaft is one whose messages may take 1.5 seconds, in which 6 MiB are sent.
func slowRaft(t *testing.T, name string) reachable {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	quiet := raftLogger(logs(t))
	over := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream: slowLayer{l, t}, MaxPool: raftConns, Timeout: 1500 * time.Millisecond, Logger: quiet,
	})
	c := raft.DefaultConfig()
	c.LocalID, c.Logger, c.CommitTimeout = raft.ServerID(name), quiet, 10*time.Millisecond
	kept := raft.NewInmemStore()
	r, err := raft.NewRaft(c, nothing{}, kept, kept, raft.NewInmemSnapshotStore(), patient(over, func(string) bool { return t.Context().Err() == nil }))
	must(t, err)
	t.Cleanup(func() {
		must(t, r.Shutdown().Error())
		over.CloseStreams()
	})
	return reachable{r, over.LocalAddr()}
}

// nothing is what Raft's entries are applied to.
type nothing struct{ raft.FSM }

// Apply implements raft.FSM.
func (nothing) Apply(*raft.Log) any { return nil }

// slowLayer has connections that carry 4 MiB a second.
type slowLayer struct {
	net.Listener
	t *testing.T
}

// Dial implements raft.StreamLayer.
func (l slowLayer) Dial(at raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	c, err := net.DialTimeout("tcp", string(at), timeout)
	return slowConn{c, l.t}, err
}

type slowConn struct {
	net.Conn
	t *testing.T
}

// Write implements net.Conn.
func (c slowConn) Write(b []byte) (n int, err error) {
	const piece, rate = 64 << 10, 4 << 20
	for err == nil && n < len(b) {
		next := b[n:min(n+piece, len(b))]
		wait.For(c.t.Context(), time.Second*time.Duration(len(next))/rate)
		var m int
		m, err = c.Conn.Write(next)
		n += m
	}
	return n, err
}
