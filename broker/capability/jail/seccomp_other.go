//go:build !amd64 && !arm64

package jail

const auditArch = 0

var refusedHere []uint32
