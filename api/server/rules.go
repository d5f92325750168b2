package server

import (
	"time"

	api "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1/pyisolatev1connect"
	"github.com/pyisolate/pyisolate/policystore"
)

// rule is what a call needs and may take.
type rule struct {
	// role is the least that may call. What the call is about (a tenant, a policy's name) is
	// judged by the call.
	role policystore.Role
	// within is the most time of a call; 0: as long as the client waits.
	within time.Duration
	// long calls have slots of their own, so that they do not keep short ones out.
	long bool
	// stops: it ends cells, and has room when other calls have none.
	stops bool
	// everywhere: only principals of all tenants, for the answer is about all.
	everywhere bool
	// open to anybody, without a token; local: to the node's own user and root alone.
	open, local bool
	// nodes: only other nodes of the cluster, for what they do for each other.
	nodes bool
	// streams: its request is a stream, of which one message is held at a time.
	streams bool
	// large is the most that a request of it may have, in bytes; 0: smallMessage.
	large int64
}

// most is what a request may have, in bytes, with what protocols put around it.
func (r rule) most() int64 {
	switch {
	case r.open:
		return 1 << 10
	case r.stops:
		return 12 << 10
	}
	return max(r.large, smallMessage) + 4<<10
}

// arrives is how long a client may take to send its request; patience is of those that wait.
func (r rule) arrives(patience time.Duration) time.Duration {
	switch {
	case r.open:
		return openCall
	case r.stops:
		return min(patience, shortCall)
	case r.within > 0:
		return r.within
	}
	return patience
}

const (
	openCall  = time.Second // to send it, while one has a slot without a token
	shortCall = 10 * time.Second
	drainCall = 10 * time.Minute // for all cells of a node
	pullCall  = 2 * time.Minute  // several attempts, each with a timeout of its own
)

// rules has one for each call of the API. A call without a rule is refused, and a test
// fails.
var rules = map[string]rule{
	api.PolicyServicePutProcedure:          {role: policystore.PolicyAdmin, within: shortCall, large: maxPolicyMessage},
	api.PolicyServiceGetProcedure:          {role: policystore.Viewer, within: shortCall},
	api.PolicyServiceListProcedure:         {role: policystore.Viewer, within: shortCall},
	api.PolicyServiceHistoryProcedure:      {role: policystore.Viewer, within: shortCall},
	api.PolicyServiceRollbackProcedure:     {role: policystore.PolicyAdmin, within: shortCall},
	api.PolicyServiceDeleteProcedure:       {role: policystore.PolicyAdmin, within: shortCall},
	api.PolicyServiceWatchProcedure:        {role: policystore.Viewer, long: true},
	api.PolicyServiceAuditProcedure:        {role: policystore.Admin, within: shortCall, everywhere: true},
	api.PolicyServiceVerifyAuditProcedure:  {role: policystore.Admin, within: pullCall, long: true, everywhere: true},
	api.PolicyServiceBackupProcedure:       {role: policystore.Admin, long: true, everywhere: true},
	api.PolicyServicePullProcedure:         {role: policystore.PolicyAdmin, within: pullCall, long: true},
	api.PolicyServiceListSourcesProcedure:  {role: policystore.Viewer, within: shortCall},
	api.PolicyServiceRemoveSourceProcedure: {role: policystore.PolicyAdmin, within: shortCall},
	api.PolicyServiceCreateTokenProcedure:  {role: policystore.Admin, within: shortCall},
	api.PolicyServiceListTokensProcedure:   {role: policystore.Admin, within: shortCall},
	api.PolicyServiceRevokeTokenProcedure:  {role: policystore.Admin, within: shortCall},
	api.PolicyServiceCheckProcedure:        {role: policystore.Viewer, within: shortCall, large: maxPolicyMessage},
	api.PolicyServiceExplainProcedure:      {role: policystore.Viewer, within: shortCall, large: maxPolicyMessage},
	api.PolicyServiceSchemaProcedure:       {role: policystore.Viewer, within: shortCall},

	api.CellServiceSpawnProcedure:   {role: policystore.Operator, within: time.Minute, long: true},
	api.CellServiceExecProcedure:    {role: policystore.Operator, long: true, large: maxCellMessage},
	api.CellServiceCallProcedure:    {role: policystore.Operator, long: true, large: maxCellMessage},
	api.CellServiceSendProcedure:    {role: policystore.Operator, within: shortCall, large: maxCellMessage},
	api.CellServicePublishProcedure: {role: policystore.Operator, within: shortCall, large: maxCellMessage},
	api.CellServiceRecvProcedure:    {role: policystore.Operator, long: true},
	api.CellServiceStreamProcedure:  {role: policystore.Operator, long: true},
	api.CellServiceLogsProcedure:    {role: policystore.Viewer, long: true},
	api.CellServiceInspectProcedure: {role: policystore.Viewer, within: shortCall},
	api.CellServiceListProcedure:    {role: policystore.Viewer, within: shortCall},
	api.CellServiceStatsProcedure:   {role: policystore.Viewer, within: shortCall},

	api.CellServiceQuarantineProcedure: {role: policystore.Operator, within: shortCall, stops: true},
	api.CellServiceKillProcedure:       {role: policystore.Operator, within: shortCall, stops: true},
	api.CellServiceCloseProcedure:      {role: policystore.Operator, within: time.Minute, long: true, stops: true},

	api.CellServiceCheckpointProcedure:       {role: policystore.Operator, within: time.Minute, long: true},
	api.CellServiceListCheckpointsProcedure:  {role: policystore.Viewer, within: shortCall},
	api.CellServiceRestoreProcedure:          {role: policystore.Operator, within: time.Minute, long: true},
	api.CellServiceDeleteCheckpointProcedure: {role: policystore.Operator, within: shortCall},
	api.CellServiceExportCheckpointProcedure: {role: policystore.Operator, long: true},
	api.CellServiceImportCheckpointProcedure: {role: policystore.Operator, within: 10 * time.Minute, long: true, streams: true, large: maxImport},
	api.CellServiceMigrateProcedure:          {role: policystore.Operator, long: true},
	api.CellServiceAbortMigrationProcedure:   {role: policystore.Operator, within: time.Minute, long: true},

	api.TransferServiceReserveProcedure:  {role: policystore.Operator, within: time.Minute, long: true, nodes: true, large: maxCellMessage},
	api.TransferServicePushProcedure:     {role: policystore.Operator, within: 10 * time.Minute, long: true, nodes: true, streams: true, large: maxImport},
	api.TransferServicePushedProcedure:   {role: policystore.Operator, within: shortCall, nodes: true},
	api.TransferServiceActivateProcedure: {role: policystore.Operator, within: arriveWithin, long: true, nodes: true, large: maxCellMessage},
	api.TransferServiceCancelProcedure:   {role: policystore.Operator, within: shortCall, nodes: true},
	api.TransferServiceGiveBackProcedure: {role: policystore.Operator, within: shortCall, long: true, nodes: true, large: maxCellMessage},

	api.NodeServiceListNodesProcedure: {role: policystore.Viewer, within: shortCall},
	api.NodeServiceEventsProcedure:    {role: policystore.Viewer, long: true},

	api.ClusterServiceInviteProcedure:      {role: policystore.Admin, within: shortCall, everywhere: true},
	api.ClusterServiceListInvitesProcedure: {role: policystore.Admin, within: shortCall, everywhere: true},
	api.ClusterServiceWithdrawProcedure:    {role: policystore.Admin, within: shortCall, everywhere: true},
	api.ClusterServiceListMembersProcedure: {role: policystore.Viewer, within: shortCall},
	api.ClusterServiceStatusProcedure:      {role: policystore.Viewer, within: shortCall},
	api.ClusterServiceRemoveProcedure:      {role: policystore.Admin, within: time.Minute, everywhere: true},
	api.ClusterServiceLeaveProcedure:       {role: policystore.Admin, within: 2 * time.Minute, long: true, everywhere: true},
	api.ClusterServiceRotateKeysProcedure:  {role: policystore.Admin, within: 2 * time.Minute, long: true, everywhere: true},
	api.ClusterServiceDrainProcedure:       {role: policystore.Admin, within: drainCall, long: true, everywhere: true},
	api.ClusterServiceRebalanceProcedure:   {role: policystore.Admin, within: drainCall, long: true, everywhere: true},

	healthCheck:  {within: shortCall, open: true}, // load balancers have no tokens
	healthWatch:  {role: policystore.Viewer, long: true},
	reflectV1:    {role: policystore.Viewer, within: time.Minute, long: true},
	reflectAlpha: {role: policystore.Viewer, within: time.Minute, long: true},
}
