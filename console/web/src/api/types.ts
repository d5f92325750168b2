// Made from api/proto by tools/types.mjs; `npm run types` renews it.

export interface ErrorDetail {
  kind?: string
  message?: string
  hint?: string
  problems?: Problem[]
  type?: string
  traceback?: string
  denial?: Denial
}

export interface Problem {
  file?: string
  line?: number
  column?: number
  message?: string
  hint?: string
  source?: string
  text?: string
}

export interface Denial {
  cell?: string
  capability?: string
  action?: string
  rule?: string
  kernel?: string
  broker?: string
  at?: string
}

export interface CellRef {
  tenant?: string
  name?: string
}

export interface PolicyRef {
  name?: string
  sandbox?: string
  version?: string
}

export interface Value {
  json?: string
  raw?: string
}

export interface SpawnRequest {
  tenant?: string
  name?: string
  policy?: PolicyRef
  document?: string
  allowedImports?: string[]
  backend?: string
  limits?: Limits
  restart?: Restart
  topics?: string[]
  requestId?: string
  placement?: Placement
  checkpoint?: CheckpointPolicy
}

export interface CheckpointPolicy {
  every?: string
  messages?: string
  beforeDrain?: boolean
  replicas?: number
}

export interface Placement {
  node?: string
  labels?: Record<string, string>
  strategy?: string
  layers?: string[]
}

export interface SpawnResponse {
  cell?: CellRef
  report?: CellReport
}

export interface Limits {
  memory?: string
  cpu?: string
  wall?: string
  output?: string
  files?: number
  message?: string
}

export interface Restart {
  when?: string
  max?: number
}

export interface ExecRequest {
  tenant?: string
  name?: string
  code?: string
  file?: string
  dialect?: string
  args?: string[]
  requestId?: string
  epoch?: string
  id?: string
  acknowledged?: boolean
}

export interface ExecResponse {
  epoch?: string
}

export interface CallRequest {
  tenant?: string
  name?: string
  target?: string
  args?: string
  kwargs?: string
  raw?: string
  requestId?: string
  epoch?: string
  id?: string
  acknowledged?: boolean
}

export interface CallResponse {
  value?: Value
  epoch?: string
}

export interface SendRequest {
  tenant?: string
  name?: string
  value?: Value
  requestId?: string
  epoch?: string
  id?: string
  acknowledged?: boolean
}

export interface SendResponse {
  epoch?: string
}

export interface PublishRequest {
  tenant?: string
  topic?: string
  value?: Value
}

export interface PublishResponse {
  delivered?: number
  refused?: Refusal[]
}

export interface Refusal {
  cell?: CellRef
  error?: ErrorDetail
}

export interface RecvRequest {
  tenant?: string
  name?: string
  max?: number
  wait?: string
  id?: string
}

export interface RecvResponse {
  items?: Item[]
}

export interface Item {
  post?: Value
  error?: ErrorDetail
  requestId?: string
}

export interface StreamRequest {
  tenant?: string
  name?: string
  limit?: string
  all?: boolean
  id?: string
}

export interface StreamResponse {
  post?: Value
  error?: ErrorDetail
  log?: Log
  metric?: Metric
  denial?: Denial
  lost?: string
}

export interface LogsRequest {
  tenant?: string
  name?: string
  follow?: boolean
  id?: string
}

export interface LogsResponse {
  log?: Log
  metric?: Metric
  denial?: Denial
  lost?: string
}

export interface Log {
  level?: string
  message?: string
  fields?: string
  at?: string
}

export interface Metric {
  name?: string
  value?: number
  tags?: Record<string, string>
  at?: string
}

export interface InspectRequest {
  tenant?: string
  name?: string
  id?: string
}

export interface InspectResponse {
  report?: CellReport
}

export interface ListCellsRequest {
  tenant?: string
  node?: string
}

export interface ListCellsResponse {
  reports?: CellReport[]
  silent?: string[]
}

export interface StatsRequest {
  tenant?: string
  node?: string
}

export interface StatsResponse {
  states?: Record<string, number>
  cpu?: string
  memory?: string
  output?: string
  posts?: string
  logs?: string
  denials?: string
  warm?: number
  warmHits?: string
  warmMisses?: string
  silent?: string[]
}

export interface QuarantineRequest {
  tenant?: string
  name?: string
  reason?: string
  id?: string
}

export type QuarantineResponse = Record<string, never>

export interface KillRequest {
  tenant?: string
  name?: string
  reason?: string
  id?: string
}

export type KillResponse = Record<string, never>

export interface CloseRequest {
  tenant?: string
  name?: string
  id?: string
}

export type CloseResponse = Record<string, never>

export interface CheckpointRequest {
  tenant?: string
  name?: string
  recipient?: string
  requestId?: string
  id?: string
}

export interface CheckpointResponse {
  checkpoint?: CheckpointInfo
}

export interface CheckpointInfo {
  id?: string
  cell?: CellRef
  epoch?: string
  size?: string
  at?: string
  python?: string
  policy?: PolicyRef
  nodes?: string[]
  backend?: string
  recipient?: string
}

export interface ListCheckpointsRequest {
  tenant?: string
  name?: string
}

export interface ListCheckpointsResponse {
  checkpoints?: CheckpointInfo[]
  silent?: string[]
}

export interface DeleteCheckpointRequest {
  id?: string
}

export type DeleteCheckpointResponse = Record<string, never>

export interface ExportCheckpointRequest {
  id?: string
  recipient?: string
}

export interface ExportCheckpointResponse {
  data?: string
}

export interface ImportCheckpointRequest {
  data?: string
  identity?: string
}

export interface ImportCheckpointResponse {
  checkpoint?: CheckpointInfo
}

export interface RestoreRequest {
  id?: string
  tenant?: string
  name?: string
  node?: string
  requestId?: string
  cell?: string
  epoch?: string
}

export interface RestoreResponse {
  cell?: CellRef
  report?: CellReport
}

export interface MigrateRequest {
  tenant?: string
  name?: string
  node?: string
  requestId?: string
  id?: string
}

export interface MigrateResponse {
  phase?: string
  copied?: string
  size?: string
  paused?: string
  epoch?: string
  node?: string
}

export interface AbortMigrationRequest {
  tenant?: string
  name?: string
  id?: string
}

export type AbortMigrationResponse = Record<string, never>

export interface Migration {
  to?: string
  phase?: string
  copied?: string
  size?: string
  began?: string
  paused?: string
}

export interface CellReport {
  cell?: CellRef
  id?: string
  backend?: string
  state?: string
  busy?: boolean
  reason?: string
  started?: string
  cpu?: string
  memory?: string
  memoryPeak?: string
  output?: string
  posts?: string
  logs?: string
  denials?: string
  policy?: PolicyState
  layers?: Layer[]
  unheld?: string[]
  epoch?: string
  restarts?: number
  node?: string
  topics?: string[]
  limits?: Limits
  migration?: Migration
  checkpoint?: string
  copies?: string[]
}

export interface PolicyState {
  ref?: PolicyRef
  version?: string
  hash?: string
  newest?: string
  problem?: string
  layers?: string[]
  needsNewCell?: string[]
  deleted?: boolean
  wantsBackend?: string
  unresolved?: string[]
}

export interface Layer {
  name?: string
  active?: boolean
  evidence?: string
  gaps?: string[]
}

export type ListNodesRequest = Record<string, never>

export interface ListNodesResponse {
  nodes?: Node[]
}

export interface Node {
  id?: string
  version?: string
  state?: string
  started?: string
  python?: string
  mode?: string
  backends?: string[]
  layers?: Layer[]
  kernel?: string
  cpus?: number
  memory?: string
  cells?: number
  maxCells?: number
  root?: boolean
  labels?: Record<string, string>
  addresses?: string[]
  uptime?: string
}

export interface EventsRequest {
  after?: string
  tenant?: string
  cell?: string
  kinds?: string[]
  follow?: boolean
  node?: string
  afterOf?: Record<string, string>
}

export interface EventsResponse {
  event?: Event
  lost?: string
  lostOf?: string
}

export interface Event {
  index?: string
  kind?: string
  at?: string
  cell?: CellRef
  epoch?: string
  message?: string
  denial?: Denial
  policy?: string
  version?: string
  trace?: string
  node?: string
}

export interface Version {
  name?: string
  number?: string
  index?: string
  hash?: string
  text?: string
  author?: string
  comment?: string
  time?: string
  deleted?: boolean
  source?: string
}

export interface PutRequest {
  name?: string
  text?: string
  expect?: string
  comment?: string
  requestId?: string
}

export interface PutResponse {
  version?: Version
}

export interface GetRequest {
  name?: string
  number?: string
  stale?: boolean
}

export interface GetResponse {
  version?: Version
}

export interface ListRequest {
  prefix?: string
  stale?: boolean
  after?: string
  limit?: number
  deleted?: boolean
}

export interface ListResponse {
  versions?: Version[]
  index?: string
  more?: boolean
}

export interface HistoryRequest {
  name?: string
  before?: string
  limit?: number
}

export interface HistoryResponse {
  versions?: Version[]
}

export interface RollbackRequest {
  name?: string
  to?: string
  expect?: string
  comment?: string
  requestId?: string
}

export interface RollbackResponse {
  version?: Version
}

export interface DeleteRequest {
  name?: string
  expect?: string
  comment?: string
  requestId?: string
}

export interface DeleteResponse {
  version?: Version
}

export interface WatchRequest {
  prefix?: string
  from?: string
}

export interface WatchResponse {
  version?: Version
}

export interface AuditRequest {
  from?: string
  limit?: number
}

export interface AuditResponse {
  records?: AuditRecord[]
}

export interface AuditRecord {
  sequence?: string
  index?: string
  time?: string
  principal?: string
  role?: string
  tenant?: string
  tokenId?: string
  action?: string
  name?: string
  before?: Change
  after?: Change
  comment?: string
  denied?: string
  hash?: string
}

export interface Change {
  number?: string
  hash?: string
}

export type VerifyAuditRequest = Record<string, never>

export interface VerifyAuditResponse {
  records?: string
  head?: string
  first?: string
  last?: string
}

export type BackupRequest = Record<string, never>

export interface BackupResponse {
  piece?: string
}

export interface PullRequest {
  name?: string
  url?: string
  otherHosts?: boolean
  sha256?: string
  ed25519Key?: string
  every?: string
}

export interface PullResponse {
  version?: Version
  changed?: boolean
}

export interface Source {
  name?: string
  url?: string
  otherHosts?: boolean
  sha256?: string
  ed25519Key?: string
  every?: string
  principal?: string
  lastOk?: string
  lastTry?: string
  nextTry?: string
  lastError?: string
  failures?: number
}

export type ListSourcesRequest = Record<string, never>

export interface ListSourcesResponse {
  sources?: Source[]
}

export interface RemoveSourceRequest {
  name?: string
}

export type RemoveSourceResponse = Record<string, never>

export interface CreateTokenRequest {
  name?: string
  role?: string
  tenant?: string
  lifetime?: string
}

export interface CreateTokenResponse {
  secret?: string
  token?: Token
}

export interface Token {
  id?: string
  name?: string
  role?: string
  tenant?: string
  created?: string
  expires?: string
  revoked?: string
  createdBy?: string
}

export type ListTokensRequest = Record<string, never>

export interface ListTokensResponse {
  tokens?: Token[]
}

export interface RevokeTokenRequest {
  id?: string
}

export interface RevokeTokenResponse {
  token?: Token
}

export interface CheckRequest {
  text?: string
  base?: string
  number?: string
}

export interface CheckResponse {
  problems?: Problem[]
  sandboxes?: string[]
  changes?: SandboxChange[]
  number?: string
}

export interface SandboxChange {
  sandbox?: string
  added?: boolean
  removed?: boolean
  changes?: AuthorityChange[]
}

export interface AuthorityChange {
  direction?: string
  what?: string
  text?: string
}

export interface ExplainRequest {
  text?: string
  name?: string
  number?: string
  sandbox?: string
  path?: PathQuestion
  address?: string
  module?: string
}

export interface PathQuestion {
  path?: string
  write?: boolean
}

export interface ExplainResponse {
  allowed?: boolean
  rule?: string
  line?: number
  layer?: string
  why?: string
}

export type SchemaRequest = Record<string, never>

export interface SchemaResponse {
  schema?: string
}

export interface Invitation {
  id?: string
  node?: string
  expires?: string
  joined?: string
}

export interface InviteRequest {
  node?: string
  lifetime?: string
}

export interface InviteResponse {
  token?: string
  invitation?: Invitation
}

export type ListInvitesRequest = Record<string, never>

export interface ListInvitesResponse {
  invitations?: Invitation[]
}

export interface WithdrawRequest {
  id?: string
}

export type WithdrawResponse = Record<string, never>

export interface Member {
  name?: string
  address?: string
  voter?: boolean
  leader?: boolean
  state?: string
  session?: boolean
  joined?: string
  traits?: Traits
}

export interface Traits {
  cpus?: string
  memory?: string
  cells?: string
  python?: string
  backends?: string[]
  layers?: string[]
  numa?: string
  labels?: Record<string, string>
  running?: string
  taken?: string
  closed?: string
}

export type ListMembersRequest = Record<string, never>

export interface ListMembersResponse {
  members?: Member[]
}

export type StatusRequest = Record<string, never>

export interface StatusResponse {
  cluster?: string
  node?: string
  leader?: string
  policyLeader?: string
  members?: number
  alive?: number
  voters?: number
  votersAlive?: number
  voter?: boolean
  authority?: boolean
  lease?: boolean
  applied?: string
  certificateExpires?: string
  gossipKeys?: string[]
  problems?: string[]
}

export interface RemoveRequest {
  node?: string
  force?: boolean
}

export type RemoveResponse = Record<string, never>

export interface LeaveRequest {
  closeCells?: boolean
  grace?: string
}

export type LeaveResponse = Record<string, never>

export type RotateKeysRequest = Record<string, never>

export interface RotateKeysResponse {
  key?: string
}

export interface DrainRequest {
  node?: string
  closeCells?: boolean
  grace?: string
}

export interface DrainResponse {
  node?: string
  closed?: CellRef[]
  moved?: CellMove[]
}

export interface CellMove {
  cell?: CellRef
  from?: string
  to?: string
  error?: string
}

export interface RebalanceRequest {
  dryRun?: boolean
  most?: number
}

export interface RebalanceResponse {
  moves?: CellMove[]
}

// Calls with one answer: what is asked, and what is answered.
export interface Calls {
  'CellService/Spawn': [SpawnRequest, SpawnResponse]
  'CellService/Exec': [ExecRequest, ExecResponse]
  'CellService/Call': [CallRequest, CallResponse]
  'CellService/Send': [SendRequest, SendResponse]
  'CellService/Publish': [PublishRequest, PublishResponse]
  'CellService/Recv': [RecvRequest, RecvResponse]
  'CellService/Inspect': [InspectRequest, InspectResponse]
  'CellService/List': [ListCellsRequest, ListCellsResponse]
  'CellService/Stats': [StatsRequest, StatsResponse]
  'CellService/Quarantine': [QuarantineRequest, QuarantineResponse]
  'CellService/Kill': [KillRequest, KillResponse]
  'CellService/Close': [CloseRequest, CloseResponse]
  'CellService/Checkpoint': [CheckpointRequest, CheckpointResponse]
  'CellService/ListCheckpoints': [ListCheckpointsRequest, ListCheckpointsResponse]
  'CellService/DeleteCheckpoint': [DeleteCheckpointRequest, DeleteCheckpointResponse]
  'CellService/Restore': [RestoreRequest, RestoreResponse]
  'CellService/AbortMigration': [AbortMigrationRequest, AbortMigrationResponse]
  'NodeService/ListNodes': [ListNodesRequest, ListNodesResponse]
  'PolicyService/Put': [PutRequest, PutResponse]
  'PolicyService/Get': [GetRequest, GetResponse]
  'PolicyService/List': [ListRequest, ListResponse]
  'PolicyService/History': [HistoryRequest, HistoryResponse]
  'PolicyService/Rollback': [RollbackRequest, RollbackResponse]
  'PolicyService/Delete': [DeleteRequest, DeleteResponse]
  'PolicyService/Audit': [AuditRequest, AuditResponse]
  'PolicyService/VerifyAudit': [VerifyAuditRequest, VerifyAuditResponse]
  'PolicyService/Pull': [PullRequest, PullResponse]
  'PolicyService/ListSources': [ListSourcesRequest, ListSourcesResponse]
  'PolicyService/RemoveSource': [RemoveSourceRequest, RemoveSourceResponse]
  'PolicyService/CreateToken': [CreateTokenRequest, CreateTokenResponse]
  'PolicyService/ListTokens': [ListTokensRequest, ListTokensResponse]
  'PolicyService/RevokeToken': [RevokeTokenRequest, RevokeTokenResponse]
  'PolicyService/Check': [CheckRequest, CheckResponse]
  'PolicyService/Explain': [ExplainRequest, ExplainResponse]
  'PolicyService/Schema': [SchemaRequest, SchemaResponse]
  'ClusterService/Invite': [InviteRequest, InviteResponse]
  'ClusterService/ListInvites': [ListInvitesRequest, ListInvitesResponse]
  'ClusterService/Withdraw': [WithdrawRequest, WithdrawResponse]
  'ClusterService/ListMembers': [ListMembersRequest, ListMembersResponse]
  'ClusterService/Status': [StatusRequest, StatusResponse]
  'ClusterService/Remove': [RemoveRequest, RemoveResponse]
  'ClusterService/Leave': [LeaveRequest, LeaveResponse]
  'ClusterService/RotateKeys': [RotateKeysRequest, RotateKeysResponse]
  'ClusterService/Drain': [DrainRequest, DrainResponse]
  'ClusterService/Rebalance': [RebalanceRequest, RebalanceResponse]
}

// Calls that answer a stream.
export interface Streams {
  'CellService/Stream': [StreamRequest, StreamResponse]
  'CellService/Logs': [LogsRequest, LogsResponse]
  'CellService/ExportCheckpoint': [ExportCheckpointRequest, ExportCheckpointResponse]
  'CellService/Migrate': [MigrateRequest, MigrateResponse]
  'NodeService/Events': [EventsRequest, EventsResponse]
  'PolicyService/Watch': [WatchRequest, WatchResponse]
  'PolicyService/Backup': [BackupRequest, BackupResponse]
}
