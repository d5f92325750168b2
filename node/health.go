package node

import (
	"context"
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"strings"

	"github.com/pyisolate/pyisolate/api/server"
	"github.com/pyisolate/pyisolate/console"
)

// Readiness is what /readyz answers: with status 200 when a cell can be started, otherwise 503.
type Readiness struct {
	State State `json:"state"`
	// Reasons why no cell can be started; empty: it can.
	Reasons []string `json:"reasons,omitempty"`
	// Reduced are the layers that cells go without on this machine, or as this user, and what
	// is open without each. It is told on unix sockets; elsewhere ListNodes does, with a token.
	Reduced []string `json:"reduced,omitempty"`
}

// Readiness says whether cells can be started.
func (n *Node) Readiness() Readiness {
	r := Readiness{State: n.State()}
	switch r.State {
	case Starting:
		r.Reasons = []string{"it is starting: the kernel's layers and the Python are being made ready"}
	case Draining:
		r.Reasons = []string{"it is draining: no more cells are started"}
	case Ended:
		r.Reasons = []string{errEnded.Error()}
	}
	if r.State == Ready {
		r.Reasons = n.cutOff()
	}
	if reduced := n.reduced.Load(); reduced != nil {
		r.Reduced = *reduced
	}
	return r
}

// Alive fails when the node is stuck, and ctx ends before it says something.
func (n *Node) Alive(ctx context.Context) error {
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		n.cells.underWay()
		if n.launcher != nil && n.State() == Ready {
			n.launcher.Stats()
		}
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pages are served beside the API.
func (n *Node) pages() map[string]server.Page {
	alive := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	pages := map[string]server.Page{
		// Without a token the console is empty.
		console.Root:                          {Handler: console.Handler()},
		strings.TrimSuffix(console.Root, "/"): {Handler: console.Handler()},
		"/healthz":                            {Handler: alive},
		"/readyz":                             {Handler: http.HandlerFunc(n.serveReadiness)},
	}
	maps.Copy(pages, n.observerPages())
	maps.Copy(pages, n.config.Pages)
	return pages
}

func (n *Node) serveReadiness(w http.ResponseWriter, request *http.Request) {
	r := n.Readiness()
	if at, ok := request.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || at.Network() != "unix" {
		r.Reduced = nil // who has no token need not know from afar what cells lack
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if len(r.Reasons) > 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	data, _ := json.Marshal(r) // strings alone
	_, _ = w.Write(append(data, '\n'))
}
