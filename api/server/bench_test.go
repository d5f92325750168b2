package server_test

import (
	"fmt"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// Calls over the socket, by the node's own user.
func BenchmarkGet(b *testing.B) {
	n := newNode(b)
	n.put(b, "web", "math")
	for b.Loop() {
		if _, err := n.Policies.Get(b.Context(), connect.NewRequest(&pb.GetRequest{Name: "web"})); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPut(b *testing.B) {
	n := newNode(b)
	i := 0
	for b.Loop() {
		i++
		n.put(b, "web", fmt.Sprintf("m%d", i))
	}
}

func BenchmarkExec(b *testing.B) {
	n := newNode(b)
	n.put(b, "web", "math")
	n.spawn(b, "c", "web")
	for b.Loop() {
		if err := n.exec(b.Context(), "c", ""); err != nil {
			b.Fatal(err)
		}
	}
}

// Exec of a cell that another node has: the socket, and a connection between the nodes without TLS.
func BenchmarkExecByWayOfANode(b *testing.B) {
	w := newWorld(b)
	n1, _ := w.join(b, "n1")
	w.join(b, "n2")
	spawnOn(b, n1, "n2", "c")
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			if err := n1.exec(b.Context(), "c", ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := n1.exec(b.Context(), "c", ""); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// Exec and the answer that it posts, received by a stream that is open.
func BenchmarkExecRecv(b *testing.B) {
	n := newNode(b)
	n.put(b, "web", "math")
	n.spawn(b, "c", "web")
	items, err := n.Cells.Stream(b.Context(), connect.NewRequest(&pb.StreamRequest{Name: "c"}))
	must(b, err)
	defer func() { _ = items.Close() }()
	for b.Loop() {
		if err := n.exec(b.Context(), "c", "post 1"); err != nil {
			b.Fatal(err)
		}
		if !items.Receive() {
			b.Fatal(items.Err())
		}
	}
}

func BenchmarkSpawnKill(b *testing.B) {
	n := newNode(b)
	n.put(b, "web", "math")
	for b.Loop() {
		n.spawn(b, "", "web")
		all, err := n.Cells.List(b.Context(), connect.NewRequest(&pb.ListCellsRequest{}))
		must(b, err)
		for _, r := range all.Msg.GetReports() {
			if r.GetState() == "running" {
				_, err := n.Cells.Kill(b.Context(), connect.NewRequest(&pb.KillRequest{Tenant: r.GetCell().GetTenant(), Name: r.GetCell().GetName()}))
				must(b, err)
			}
		}
	}
}

// echoed calls a function with 1 kB, which it gives back.
func (n *node) echoed(b *testing.B, c api.CellServiceClient, message []byte) {
	answer, err := c.Call(b.Context(), connect.NewRequest(&pb.CallRequest{Name: "c", Target: "f", Raw: message}))
	if err != nil || len(answer.Msg.GetValue().GetJson())+len(answer.Msg.GetValue().GetRaw()) == 0 {
		b.Error(err)
	}
}

// Calls of 1 kB, one after the other and of many callers.
func BenchmarkCall(b *testing.B) {
	for name, option := range map[string]connect.ClientOption{"grpc": connect.WithGRPC(), "json": connect.WithProtoJSON(), "proto": connect.WithClientOptions()} {
		b.Run(name, func(b *testing.B) {
			n := newNode(b)
			n.spawn(b, "c", "")
			c, message := api.NewCellServiceClient(n.plainClient(b, name != "json"), "http://node", option), make([]byte, 1024)
			b.Run("one", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					n.echoed(b, c, message)
				}
			})
			b.Run("many", func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(8)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						n.echoed(b, c, message)
					}
				})
			})
		})
	}
}
