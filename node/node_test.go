package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/pyisolate/pyisolate/api/client"
	"github.com/pyisolate/pyisolate/api/fault"
	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/internal/logged"
)

// opened is a node on a socket of the test's, and a client that is its admin.
func opened(t *testing.T, change func(*Config)) (*Node, *client.Client, *logged.Text) {
	t.Helper()
	dir, said := t.TempDir(), &logged.Text{}
	c := Config{Data: filepath.Join(dir, "data"), Socket: filepath.Join(dir, "s"), Logger: slog.New(slog.NewTextHandler(said, nil)), Version: "v1"}
	if change != nil {
		change(&c)
	}
	n, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	calls, err := n.Client()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(calls.Close)
	return n, calls, said
}

const onePolicy = "version: 1.0\nsandboxes:\n  main:\n    imports: [math]\n"

// spawn starts a cell under a policy that permits math.
func spawn(t *testing.T, calls *client.Client, name string) error {
	t.Helper()
	if _, err := calls.Policies.Put(t.Context(), connect.NewRequest(&pb.PutRequest{Name: "one", Text: []byte(onePolicy)})); err != nil {
		return err
	}
	_, err := calls.Cells.Spawn(t.Context(), connect.NewRequest(&pb.SpawnRequest{Name: name, Policy: &pb.PolicyRef{Name: "one"}}))
	return err
}

// awaitPost waits until a cell has posted something.
func awaitPost(t *testing.T, calls *client.Client, name string) {
	t.Helper()
	items, err := calls.Cells.Stream(t.Context(), connect.NewRequest(&pb.StreamRequest{Name: name, Limit: 1}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = items.Close() }()
	if !items.Receive() {
		t.Fatalf("cell %s posts nothing: %v", name, items.Err())
	}
}

func get(t *testing.T, c *http.Client, url string) (int, string) {
	t.Helper()
	r, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

// A node answers over its socket, and over TLS with a certificate that is replaced as it runs,
// and drains when it is told to end.
func TestNode(t *testing.T) {
	cert, key := writeCertificate(t, "first")
	n, calls, logged := opened(t, func(c *Config) {
		c.Listen, c.TLSCert, c.TLSKey = []string{"https://127.0.0.1:0"}, cert, key
	})
	if n.State() != Ready {
		t.Fatalf("it is %s", n.State())
	}
	address := n.Addresses()[1]
	if !strings.HasPrefix(address, "https://127.0.0.1:") || strings.HasSuffix(address, ":0") {
		t.Errorf("it listens at %s", address)
	}
	t.Run("cells", func(t *testing.T) {
		if err := spawn(t, calls, "one"); err != nil {
			t.Fatal(err)
		}
		if _, err := calls.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "one", Code: "import math; post(math.sqrt(2))"})); err != nil {
			t.Fatal(err)
		}
	})
	web := func() *http.Client {
		text, err := os.ReadFile(cert)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	}
	t.Run("pages", func(t *testing.T) {
		local := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.Config().Socket)
		}}}
		if status, text := get(t, web(), address+"/healthz"); status != http.StatusOK || text != "ok\n" {
			t.Errorf("/healthz: %d %q", status, text)
		}
		status, text := get(t, web(), address+"/readyz")
		var r Readiness
		if err := json.Unmarshal([]byte(text), &r); err != nil || status != http.StatusOK || r.State != Ready || len(r.Reasons) > 0 || len(r.Reduced) > 0 {
			t.Errorf("/readyz from afar: %d %q, %v", status, text, err)
		}
		_, text = get(t, local, "http://node/readyz")
		if err := json.Unmarshal([]byte(text), &r); err != nil || len(r.Reduced) != len(n.Readiness().Reduced) {
			t.Errorf("/readyz on the socket: %q, %v", text, err)
		}
		if len(r.Reduced) > 0 && strings.Count(logged.String(), "cells go without some layers") != 1 {
			t.Errorf("reduced are %q, and the log says\n%s", r.Reduced, logged)
		}
		if status, _ := get(t, web(), address+"/metrics"); status != http.StatusUnauthorized {
			t.Errorf("/metrics without a token: %d", status)
		}
		if status, text := get(t, local, "http://node/metrics"); status != http.StatusOK || !strings.Contains(text, "pyisolate_build_info{") {
			t.Errorf("/metrics of the node's own user: %d %.300s", status, text)
		}
		if status, text := get(t, local, "http://node/debug/pprof/goroutine?debug=1"); status != http.StatusOK || !strings.Contains(text, "goroutine profile") {
			t.Errorf("profiles of the node's own user: %d %.300s", status, text)
		}
		if status, text := get(t, local, "http://node/console/"); status != http.StatusOK || !strings.Contains(text, "<html") {
			t.Errorf("the console: %d %.300s", status, text)
		}
		if status, _ := get(t, web(), address+"/debug/pprof/"); status == http.StatusOK {
			t.Error("profiles are to be had over the network")
		}
	})
	t.Run("a token is needed", func(t *testing.T) {
		r, err := web().Post(address+"/pyisolate.v1.CellService/List", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if r.StatusCode != http.StatusUnauthorized {
			t.Errorf("without one: %s", r.Status)
		}
	})
	t.Run("another certificate", func(t *testing.T) {
		rewriteCertificate(t, "second", cert, key)
		if err := n.Reload(); err != nil {
			t.Fatal(err)
		}
		if status, _ := get(t, web(), address+"/healthz"); status != http.StatusOK {
			t.Errorf("status %d", status)
		}
	})
}

func TestDrain(t *testing.T) {
	n, calls, _ := opened(t, nil)
	if err := spawn(t, calls, "one"); err != nil {
		t.Fatal(err)
	}
	executed := make(chan error, 1)
	go func() {
		_, err := calls.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "one", Code: "post('begun'); recv()"}))
		executed <- err
	}()
	awaitPost(t, calls, "one")
	drained := make(chan error, 1)
	go func() { drained <- n.Drain(t.Context()) }()
	await.That(t, "the node is draining", func() bool { return n.State() == Draining })
	if r := n.Readiness(); len(r.Reasons) != 1 || !strings.Contains(r.Reasons[0], "draining") {
		t.Errorf("ready: %+v", r)
	}
	if err := spawn(t, calls, "two"); !errors.Is(err, fault.ErrUnavailable) || !strings.Contains(err.Error(), "draining") {
		t.Errorf("a spawn: %v", err)
	}
	select {
	case err := <-drained:
		t.Errorf("it has drained while an exec is under way: %v", err)
	default:
	}
	if _, err := calls.Cells.Send(t.Context(), connect.NewRequest(&pb.SendRequest{Name: "one", Value: &pb.Value{Kind: &pb.Value_Json{Json: "1"}}})); err != nil {
		t.Errorf("a message to a cell that is at work: %v", err)
	}
	if err := <-executed; err != nil {
		t.Errorf("what was under way: %v", err)
	}
	if err := <-drained; err != nil {
		t.Errorf("drain: %v", err)
	}
}

// What does not finish is not waited for, and a second signal, which closes the node, does not
// wait at all.
func TestServeEnds(t *testing.T) {
	for name, again := range map[string]bool{"when the time is over": false, "at once when it is closed": true} {
		t.Run(name, func(t *testing.T) {
			n, calls, logged := opened(t, func(c *Config) {
				c.DrainTimeout = time.Millisecond
				if again {
					c.DrainTimeout = MaxDrainTimeout
				}
			})
			if err := spawn(t, calls, "one"); err != nil {
				t.Fatal(err)
			}
			executed := make(chan error, 1)
			go func() {
				_, err := calls.Cells.Exec(t.Context(), connect.NewRequest(&pb.ExecRequest{Name: "one", Code: "post('begun')\nwhile True: pass"}))
				executed <- err
			}()
			awaitPost(t, calls, "one")
			ctx, end := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- n.Serve(ctx) }()
			end()
			if again {
				await.That(t, "the node is draining", func() bool { return n.State() == Draining })
				if err := n.Close(); err != nil {
					t.Error(err)
				}
			}
			if err := <-served; err != nil {
				t.Error(err)
			}
			if err := <-executed; err == nil {
				t.Error("the guest has run to its end")
			}
			if n.State() != Ended {
				t.Errorf("it is %s", n.State())
			}
			if said := strings.Contains(logged.String(), "still under way"); said == again {
				t.Errorf("that operations were cut off is said: %t\n%s", said, logged)
			}
		})
	}
}

// An error of Open leaves nothing: the next Open finds the directory free.
func TestOpenFailsWhole(t *testing.T) {
	dir := t.TempDir()
	c := Config{Data: filepath.Join(dir, "data"), Socket: filepath.Join(dir, "s"), Python: "/none"}
	if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Fatalf("error %v", err)
	}
	if _, err := os.Lstat(c.Socket); err == nil {
		t.Error("the socket is left")
	}
	c.Python = ""
	n, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), c); !errors.Is(err, ErrInUse) {
		t.Errorf("a second node: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	c.Mode = "harden"
	var wrong *ConfigError
	if _, err := Open(t.Context(), c); !errors.As(err, &wrong) {
		t.Errorf("error %v", err)
	}
}
