package server

import (
	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
)

// clusters serves ClusterService.
type clusters struct {
	api.UnimplementedClusterServiceHandler
}

var _ api.ClusterServiceHandler = (*clusters)(nil)
