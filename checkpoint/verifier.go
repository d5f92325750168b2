package checkpoint

// verifier verifies a file that is written to it in pieces of any size, with the memory of a chunk.
type verifier struct{}
