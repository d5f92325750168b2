package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"

	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/policystore"
)

// principalHeader says for whom another node calls. It counts on connections of nodes alone.
const principalHeader = "Pyisolate-Principal"

// nodeConn is a connection that another node of the cluster has made.
type nodeConn struct {
	net.Conn
	node string
}

// nodeListener knows which node connects.
type nodeListener struct {
	net.Listener
	peer func(net.Conn) (node string, err error)
}

// Accept implements net.Listener. Whose node is not known is closed at once.
func (l *nodeListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if node, err := l.peer(c); err == nil {
			return &nodeConn{c, node}, nil
		}
		_ = c.Close()
	}
}

// ServeNodes answers the calls of clients of other nodes, which those nodes pass on, until
// Close; then its error is nil. The caller has made sure that nobody but nodes of the cluster
// connects; peer names the one at the other end.
func (s *Server) ServeNodes(l net.Listener, peer func(net.Conn) (node string, err error)) error {
	if err := s.http.Serve(&nodeListener{l, peer}); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("api: serve nodes: %w", err)
	}
	return nil
}

// sentPrincipal is who calls, from one node to another.
type sentPrincipal struct {
	Name    string `json:"name"`
	Role    string `json:"role"`
	Tenant  string `json:"tenant,omitempty"`
	TokenID string `json:"token,omitempty"`
}

// encodePrincipal makes a value that any header takes: JSON in ASCII.
func encodePrincipal(p policystore.Principal) string {
	text, _ := json.Marshal(sentPrincipal{p.Name, p.Role.String(), p.Tenant, p.TokenID}) // never fails
	out := make([]byte, 0, len(text))
	for _, r := range string(text) {
		if r >= ' ' && r <= '~' {
			out = append(out, byte(r))
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			out = fmt.Appendf(out, "\\u%04x", unit)
		}
	}
	return string(out)
}

// passedOn is who another node says that calls. That node has looked at the token, which may be
// too new for this one to know; a call without a deadline has it looked at again here.
func passedOn(node, header string) (policystore.Principal, error) {
	var sent sentPrincipal
	err := json.Unmarshal([]byte(header), &sent)
	if err == nil && sent.Name == "" {
		err = errors.New("it has no name")
	}
	role, roleErr := policystore.ParseRole(sent.Role)
	if err = errors.Join(err, roleErr); err != nil {
		return policystore.Principal{}, fmt.Errorf("%w: node %s does not say for whom it calls: %v", policystore.ErrUnauthenticated, node, err) //nolint:errorlint // its cause is no matter of the caller's
	}
	return policystore.Principal{Name: sent.Name, Role: role, Tenant: sent.Tenant, TokenID: sent.TokenID}, nil
}

// passed are the calls beside those about cells that other nodes pass on.
var passed = []string{api.NodeServiceListNodesProcedure, api.NodeServiceEventsProcedure, api.ClusterServiceDrainProcedure}

// passes tells which calls other nodes pass on. All others are refused to them: what a node says of
// the caller has to be believed, and so it is for what cannot be done without.
func passes(call string) bool {
	return strings.HasPrefix(call, "/"+api.CellServiceName+"/") || slices.Contains(passed, call)
}

// isPassedOn says that another node has passed the call on: it is for this one, and goes no further.
func isPassedOn(ctx context.Context) bool { return peerOf(ctx).node != "" }
