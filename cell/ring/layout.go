package ring

// Magic is the first word of a region: "PYR1" in memory.
const Magic = 0x31525950

// Offsets in the header page. They repeat ring.h; a test reads that file.
const (
	HeaderSize = rulesAt + RulesSize
	// RulesSize is one of the two rooms for rules, in the header and behind the rings: see
	// SetRules. It is address space; memory is what is written.
	RulesSize = 254 << 10
	rulesAt   = 2 << 10

	offMagic      = 0
	offCap        = 4
	offState      = 8
	offTID        = 12
	offInHead     = 64
	offInFull     = 68
	offInTail     = 128
	offInParked   = 132
	offOutHead    = 192
	offOutFull    = 196
	offOutTail    = 256
	offOutParked  = 260
	offCtlSeq     = 320
	offCtlReason  = 324
	offCtlOp      = 328
	offMemUsed    = 384
	offMemPeak    = 392
	offMemDenied  = 400
	offDenials    = 408
	offThreads    = 448
	offThreadsCPU = 1472
	offRules      = 1536
	offWorker     = 1544
	offTrace      = 1552
	traceBytes    = 55 // of a traceparent
	maxThreads    = 256
	frameHdrBytes = 16
)

// State is what the cell says it is doing.
type State uint32

// States, as enum ring_state.
const (
	Starting State = iota
	Idle
	Busy
	Ended
	Failed
)

// Kind is the type of a frame. The two directions number their own.
type Kind uint8

// Host to cell. ring.h documents each payload.
const (
	InClaim Kind = 1 + iota
	InExec
	InCall
	InAnswer
	InClose
	InSave
	InRestore
)

// Cell to host.
const (
	OutReady Kind = 1 + iota
	OutResult
	OutError
	OutPost
	OutLog
	OutMetric
	OutRecv
	OutRequest
	OutDenial
	OutEnded
	OutChunk
	OutMore
)

// Flags of a frame.
type Flags uint8

// Flags, as enum frame_flag.
const (
	Raw Flags = 1 << iota
	Error
	None
	Stdin
	Restricted
	Code  // of a chunk: code, not pickle
	Part  // and it goes on in the next
	Bound // of OutRecv: it ends with the operation
)

// Policy flags inside an InClaim payload.
const PolicyShared = 1

// Frame is one message. The payload belongs to whoever received it.
type Frame struct {
	Kind    Kind
	Flags   Flags
	ID      uint64
	Payload []byte
}
