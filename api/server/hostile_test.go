package server_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/pause"
	"github.com/pyisolate/pyisolate/policystore"
)

// overTCP has the node listen on the network, too.
func (n *node) overTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- n.server.Serve(l) }()
	t.Cleanup(func() {
		must(t, n.server.Close(context.Background()))
		must(t, <-served)
	})
	return l.Addr().String()
}

// works says that another client is served.
func (n *node) works(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := n.Cells.List(ctx, connect.NewRequest(&pb.ListCellsRequest{}))
	must(t, err)
}

// closed reads until the other end closes a connection.
func closed(t *testing.T, c net.Conn) {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the node still waits")
	}
}

// A client that sends its headers a byte at a time is not waited for, in either version of HTTP.
func TestSlowLoris(t *testing.T) {
	n := newNode(t, patiently)
	for name, begin := range map[string]string{
		"HTTP/1, a line":  "POST /pyisolate.v1.CellService/List HTT",
		"HTTP/1, headers": "POST /pyisolate.v1.CellService/List HTTP/1.1\r\nHost: node\r\nX-A: b\r\n",
		"HTTP/2":          "PRI * HTTP/2.0\r\n\r\nSM",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			closed(t, n.talk(t, begin))
			n.works(t)
		})
	}
}

// A request whose body is announced and does not come holds its connection for a moment only, though nobody reads the
// body: who is refused, who asks for what there is not, and who asks for a page.
func TestBodyThatDoesNotCome(t *testing.T) {
	n := newNode(t, patiently)
	address := n.overTCP(t)
	const list = "POST /pyisolate.v1.CellService/List HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\n"
	for name, head := range map[string]string{
		"no such call":    "POST /nothing HTTP/1.1\r\nHost: node\r\n",
		"without a token": list,
		"a wrong token":   list + "Authorization: Bearer pyi_none\r\n",
		"another type":    "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: node\r\nContent-Type: text/plain\r\n",
		"a page":          "GET /openapi.json HTTP/1.1\r\nHost: node\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			c, err := net.Dial("tcp", address)
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			_, err = io.WriteString(c, head+"Content-Length: 1000\r\n\r\n")
			must(t, err)
			closed(t, c)
			n.works(t)
		})
	}
}

// Headers have a bound.
func TestHugeHeaders(t *testing.T) {
	n := newNode(t)
	for name, second := range map[string]bool{"HTTP/1": false, "HTTP/2": true} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://node/pyisolate.v1.CellService/List", strings.NewReader("{}"))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Huge", strings.Repeat("a", 1<<20))
		answer, err := n.plainClient(t, second).Do(r)
		if err == nil {
			_ = answer.Body.Close()
		}
		if err == nil && answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%s: %s", name, answer.Status)
		}
		n.works(t)
	}
}

// Ten thousand connections that say nothing keep nobody out, on the socket nor on the network.
func TestIdleConnections(t *testing.T) {
	n := newNode(t)
	address := n.overTCP(t)
	const idle = 10_000
	for name, at := range map[string][2]string{"socket": {"unix", n.socket}, "network": {"tcp", address}} {
		t.Run(name, func(t *testing.T) {
			n.works(t) // has a connection, which stays
			for i := range idle {
				await.That(t, "the node accepts", func() bool {
					c, err := net.Dial(at[0], at[1])
					if err == nil {
						t.Cleanup(func() { _ = c.Close() })
					}
					return err == nil
				})
				if i%1000 == 0 {
					n.works(t)
				}
			}
			n.works(t)
		})
	}
}

// Strangers who have all the connections of a host keep no node out that is at the same address.
func TestIdleConnectionsAtANodesAddress(t *testing.T) {
	n, f := newWorld(t).join(t, "n1")
	strangers := n.overTCP(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- n.server.ServeNodes(l, f.peer) }()
	t.Cleanup(func() {
		must(t, n.server.Close(context.Background()))
		must(t, <-served)
	})
	dial := func(address string) net.Conn {
		c, err := net.Dial("tcp", address)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	for range 128 {
		dial(strangers)
	}
	closed(t, dial(strangers)) // and so all others are there
	node := dial(l.Addr().String())
	_, err = io.WriteString(node, "n2\nPOST /pyisolate.v1.CellService/List HTTP/1.1\r\nHost: n1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"+
		"Pyisolate-Principal: {\"name\":\"uid:0@n2\",\"role\":\"admin\"}\r\n\r\n{}")
	must(t, err)
	answer, err := http.ReadResponse(bufio.NewReader(node), nil)
	must(t, err)
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusOK {
		t.Errorf("the node is answered %s", answer.Status)
	}
}

// A client that never reads its stream holds it for a time only, and nobody else's.
func TestStreamThatNobodyReads(t *testing.T) {
	n := newNode(t, patiently)
	for _, name := range []string{"c", "d"} {
		spawned(t, n.Client, &pb.SpawnRequest{Name: name})
	}
	const body = `{"name":"c"}`
	n.talk(t, fmt.Sprintf("POST /pyisolate.v1.CellService/Stream HTTP/1.1\r\nHost: node\r\nContent-Type: application/connect+json\r\nContent-Length: %d\r\n\r\n\x00\x00\x00\x00%c%s", len(body)+5, len(body), body))
	await.That(t, "the stream is there", func() bool { return n.server.Underway() == 1 })
	flooding, stop := context.WithCancel(t.Context())
	defer stop()
	flooded := make(chan struct{})
	go func() {
		defer close(flooded)
		for flooding.Err() == nil {
			_ = n.exec(flooding, "c", "flood 100000")
		}
	}()
	must(t, n.exec(t.Context(), "d", "post 1"))
	if items, err := n.recv(t, &pb.StreamRequest{Name: "d", Limit: 1}); err != nil || len(items) != 1 {
		t.Errorf("%v, %v", items, err)
	}
	await.That(t, "it is given up", func() bool { return n.server.Underway() <= 1 }) // the flood's own call
	stop()
	<-flooded
}

// Strangers who send the beginning of a call that needs no token hold a place for a moment, and
// nobody else's.
func TestStrangersWhoHoldCalls(t *testing.T) {
	n := newNode(t)
	address := n.overTCP(t)
	port := address[strings.LastIndexByte(address, ':'):]
	const part = "POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
	var held []net.Conn
	most := int64(0) // of calls under way
	for _, host := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"} {
		for range 70 {
			c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}).DialContext(t.Context(), "tcp", "127.0.0.1"+port)
			must(t, err)
			t.Cleanup(func() { _ = c.Close() })
			_, err = io.WriteString(c, part)
			must(t, err)
			held = append(held, c)
			most = max(most, n.server.Underway())
		}
	}
	if most == 0 { // it takes the node a moment, and they have no more than another
		await.That(t, "places are held", func() bool { return n.server.Underway() > 0 })
	}
	n.works(t)
	for name, c := range map[string]struct {
		of   *http.Client
		base string
	}{"socket": {n.plainClient(t, false), "http://node"}, "another host": {http.DefaultClient, "http://" + address}} {
		answer, err := c.of.Post(c.base+"/grpc.health.v1.Health/Check", "application/json", strings.NewReader("{}"))
		must(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("health over the %s: %s", name, answer.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	must(t, held[0].SetReadDeadline(time.Now().Add(8*time.Second))) // a call with a token has 10 s
	if _, err := io.ReadAll(held[0]); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("one still has its place after 8 s")
	}
}

// unwilling is an HTTP/2 client that asks and gives answers' bodies no room.
type unwilling struct{ net.Conn }

func (n *node) unwilling(t *testing.T, address string) unwilling {
	t.Helper()
	c, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	must(t, c.SetDeadline(time.Now().Add(20*time.Second)))
	const noWindow = "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"
	_, err = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+noWindow)
	must(t, err)
	return unwilling{c}
}

// ask begins calls, each with an empty message of JSON.
func (c unwilling) ask(t *testing.T, path string, times int) {
	t.Helper()
	var block, all bytes.Buffer
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "node"}, {":path", path}, {"content-type", "application/json"}} {
		fmt.Fprintf(&block, "\x00%c%s%c%s", len(field[0]), field[0], len(field[1]), field[1])
	}
	for i := range times {
		stream := binary.BigEndian.AppendUint32(nil, uint32(2*i+1))
		fmt.Fprintf(&all, "\x00\x00%c\x01\x04%s%s", block.Len(), stream, block.Bytes())
		fmt.Fprintf(&all, "\x00\x00\x02\x00\x01%s{}", stream)
	}
	_, err := c.Write(all.Bytes())
	must(t, err)
}

// answers reads until so many calls are answered, or cut off, and says how many were answered.
func (c unwilling) answers(t *testing.T, calls int) (answered int) {
	t.Helper()
	for seen := 0; seen < calls; {
		head := make([]byte, 9)
		_, err := io.ReadFull(c, head)
		must(t, err)
		_, err = io.CopyN(io.Discard, c, int64(head[0])<<16|int64(head[1])<<8|int64(head[2]))
		must(t, err)
		switch head[3] {
		case 1: // HEADERS
			answered++
			seen++
		case 3: // RST_STREAM
			seen++
		}
	}
	return answered
}

// Who takes no answers has the node keep some of them, with a token or without, and not one for each stream of each
// connection.
func TestRefusalsThatNobodyTakes(t *testing.T) {
	n := newNode(t)
	address := n.overTCP(t)
	for name, path := range map[string]string{"no token": "/pyisolate.v1.CellService/List", "no such call": "/none"} {
		var all []unwilling
		for range 8 {
			all = append(all, n.unwilling(t, address))
		}
		kept := 0
		for _, c := range all {
			c.ask(t, path, 128)
			kept += c.answers(t, 128)
		}
		if kept == 0 || kept > 512 {
			t.Errorf("%s: %d of %d answers are kept", name, kept, 8*128)
		}
		for _, c := range all {
			_ = c.Close()
		}
		await.That(t, "they are gone", func() bool { return n.server.Refusing() == 0 })
	}
}

// A call is under way until its answer is taken, or was not for too long.
func TestShortAnswerThatNobodyTakes(t *testing.T) {
	n := newNode(t)
	c := n.unwilling(t, n.overTCP(t))
	c.ask(t, "/grpc.health.v1.Health/Check", 1)
	c.answers(t, 1)
	if n.server.Underway() != 1 {
		t.Errorf("%d calls are under way", n.server.Underway())
	}
	_ = c.Close()
	await.That(t, "it is over", func() bool { return n.server.Underway() == 0 })
}

// Names of other tenants' cells are refused alike, whether there is such a cell or not.
func TestGuessing(t *testing.T) {
	n := newNode(t)
	spawned(t, n.Client, &pb.SpawnRequest{Tenant: "b", Name: "there"})
	a, _ := n.as(t, "operator", "a")
	refused := func(name string) string {
		_, err := a.Cells.Inspect(t.Context(), connect.NewRequest(&pb.InspectRequest{Tenant: "b", Name: name}))
		if !errors.Is(err, policystore.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		return strings.ReplaceAll(err.Error(), name, "NAME")
	}
	if there, not := refused("there"), refused("not"); there != not {
		t.Errorf("%q, and %q", there, not)
	}
}

// Tokens that are wrong or revoked are refused at once, and those who go on trying are.
func TestBadTokens(t *testing.T) {
	n := newNode(t)
	address := n.overTCP(t)
	secret := n.secret(t)
	ask := func(token string) int {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/pyisolate.v1.CellService/List", strings.NewReader("{}"))
		must(t, err)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", token)
		answer, err := http.DefaultClient.Do(r)
		must(t, err)
		defer func() { _ = answer.Body.Close() }()
		_, _ = bufio.NewReader(answer.Body).WriteTo(io.Discard)
		return answer.StatusCode
	}
	defer http.DefaultClient.CloseIdleConnections()
	if status := ask("Bearer " + secret); status != http.StatusOK {
		t.Errorf("a good one: %d", status)
	}
	for _, token := range []string{"", "Bearer", "Bearer ", "Basic " + secret, secret, "Bearer " + secret[:len(secret)-1], "Bearer " + strings.Repeat("a", 8000)} {
		if status := ask(token); status != http.StatusUnauthorized {
			t.Errorf("%.20q: %d", token, status)
		}
	}
}

// However many clients a node makes up, with tokens or without, those of other nodes and those who call here
// have room.
func TestNodeThatMakesUpClients(t *testing.T) {
	w := newWorld(t)
	n1, _ := w.join(t, "n1")
	_, hostile := w.join(t, "n2")
	n3, _ := w.join(t, "n3")
	spawnOn(t, n3, "n1", "c")
	operator, _ := n1.as(t, "operator", "")
	ctx, stop := context.WithCancel(t.Context())
	var holding sync.WaitGroup
	defer holding.Wait()
	defer stop()
	for i := range 150 {
		for _, token := range []string{"", fmt.Sprint("t", i)} {
			holding.Go(func() {
				principal := fmt.Sprintf(`{"name":"uid:%d@n2","role":"admin","token":%q}`, i, token)
				hold(ctx, hostile.transport, principal)
				for pause.For(ctx, 10*time.Millisecond) { // what is refused, or cut off, comes again
					hold(ctx, hostile.transport, principal)
				}
			})
		}
	}
	await.That(t, "it has all that it gets", func() bool { return n1.server.Underway() >= 256 })
	for name, c := range map[string]api.CellServiceClient{"the node's user": n1.Cells, "a token": operator.Cells, "another node's client": n3.Cells} {
		if _, err := c.Inspect(ctx, connect.NewRequest(&pb.InspectRequest{Name: "c"})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of streams that bring files each message is held, and so a token has no more of them than of bytes of requests.
func TestStreamsThatBringFiles(t *testing.T) {
	archive, _ := someArchive(t)
	n := newNode(t, func(c *server.Config) {
		c.Checkpoints = &server.Checkpoints{Archive: archive, Python: func() string { return "fake" }}
	})
	made, err := n.Policies.CreateToken(t.Context(), connect.NewRequest(&pb.CreateTokenRequest{Name: "o", Role: "operator", Tenant: "a"}))
	must(t, err)
	const begun, most = 100, 64 // messages of 1 MiB, and of bytes of requests
	ctx, stop := context.WithCancel(t.Context())
	var bringing sync.WaitGroup
	defer bringing.Wait()
	defer stop()
	client, refused := n.plainClient(t, true), atomic.Int64{}
	for range begun {
		bringing.Go(func() {
			body, sends := io.Pipe()
			defer func() { _ = sends.Close() }()
			r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node/pyisolate.v1.CellService/ImportCheckpoint", body)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header.Set("Content-Type", "application/connect+proto")
			r.Header.Set("Authorization", "Bearer "+made.Msg.GetSecret())
			if answer, err := client.Do(r); err == nil {
				_ = answer.Body.Close()
				refused.Add(1)
			}
		})
	}
	await.That(t, "as many are there as may be, and the others refused", func() bool {
		held := n.server.Underway()
		return held+refused.Load() == begun && held > 0 && held <= most
	})
	stop()
	bringing.Wait()
	await.That(t, "they are over", func() bool { return n.server.Underway() == 0 })
}

// hold makes a call to n1 of which nothing comes, until it is refused or ctx ends.
func hold(ctx context.Context, transport http.RoundTripper, principal string) {
	body, sends := io.Pipe()
	defer func() { _ = sends.Close() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://n1/pyisolate.v1.CellService/Inspect", body)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Pyisolate-Principal", principal)
	if answer, err := transport.RoundTrip(r); err == nil {
		_ = answer.Body.Close()
	}
}
