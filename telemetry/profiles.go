package telemetry

import (
	"net/http"
	"net/http/pprof"
)

// Profiles serves net/http/pprof below /debug/pprof/. What it shows has secrets of all tenants: it
// is for the node's own user, on the unix socket alone.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
