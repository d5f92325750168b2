package server

import "github.com/pyisolate/pyisolate/internal/failpoint"

// The steps of a move at its source.
var (
	reservedPoint  = failpoint.New("move.reserved") // the target has room
	begunPoint     = failpoint.New("move.begun")    // it is agreed that it begins
	takenPoint     = failpoint.New("move.taken")    // the state is on the source's disk
	pushedPoint    = failpoint.New("move.pushed")   // and on the target's
	frozenPoint    = failpoint.New("move.frozen")   // that is agreed
	activatedPoint = failpoint.New("move.activated")
	leftPoint      = failpoint.New("move.left") // the source has it no more
	collectedPoint = failpoint.New("move.collected")
	abortedPoint   = failpoint.New("move.aborted") // it is agreed that it is not the target's
	stayedPoint    = failpoint.New("move.stayed")  // the guest goes on
)

// The steps of a cell that comes to a node.
var (
	madePoint     = failpoint.New("arrival.made") // there is room
	receivedPoint = failpoint.New("arrival.received")
	ownedPoint    = failpoint.New("arrival.owned") // this node is the owner
	filledPoint   = failpoint.New("arrival.filled")
	runningPoint  = failpoint.New("arrival.running")
	yieldedPoint  = failpoint.New("arrival.yielded")
)
