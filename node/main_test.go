package node

import (
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Init() // hosts of cells are this binary
	goleak.VerifyTestMain(m)
}
