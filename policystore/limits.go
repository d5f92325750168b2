package policystore

// limits bound the state. They are the same on all nodes, whatever their configuration:
// which entries are refused is part of what the log means.
type limits struct {
	policies  uint64 // names, including deleted ones
	versions  uint64 // of all policies
	textBytes uint64 // of distinct texts
	tokens    uint64
	changes   uint64 // kept for watchers
	requests  uint64 // remembered

	// logBytes is after how much of the log a snapshot is taken. It bounds this node's log
	// and not the state.
	logBytes int64
}

var standardLimits = limits{
	policies:  10_000,
	versions:  1_000_000,
	textBytes: 256 << 20,
	tokens:    10_000,
	changes:   4096,
	requests:  4096,
	logBytes:  64 << 20,
}
