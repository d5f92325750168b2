package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"

	"github.com/pyisolate/pyisolate/api/openapi"
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// services are the API's own.
var services = []string{api.PolicyServiceName, api.CellServiceName, api.NodeServiceName, api.ClusterServiceName}

// Procedures of the services that every gRPC server is expected to have.
const (
	healthCheck  = "/grpc.health.v1.Health/Check"
	healthWatch  = "/grpc.health.v1.Health/Watch"
	reflectV1    = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectAlpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

var errUnknownService = errors.New("the node has no such service")

// handleStandard adds health and reflection.
func (s *Server) handleStandard(mux *http.ServeMux, options connect.HandlerOption) {
	mux.Handle(grpchealth.NewHandler(s, options))
	reflector := grpcreflect.NewStaticReflector(append(services, grpchealth.HealthV1ServiceName)...)
	mux.Handle(grpcreflect.NewHandlerV1(reflector, options))
	mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, options))
}

// Check implements grpchealth.Checker: the node serves until it ends.
func (s *Server) Check(_ context.Context, r *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	known := r.Service == "" || r.Service == grpchealth.HealthV1ServiceName
	for _, name := range services {
		known = known || r.Service == name
	}
	switch {
	case !known:
		return nil, connect.NewError(connect.CodeNotFound, errUnknownService)
	case s.ending.Err() != nil:
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}

// serveOpenAPI answers with the document.
func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "use GET", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(openapi.Document)))
	_, _ = w.Write(openapi.Document) // of HEAD package http sends nothing
}
