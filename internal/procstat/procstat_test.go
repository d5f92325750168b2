package procstat

import (
	"os"
	"strconv"
	"testing"
)

func TestFields(t *testing.T) {
	fields, err := Fields(os.Getpid())
	if err != nil || len(fields) < 20 {
		t.Fatal(fields, err)
	}
	if fields[1] != strconv.Itoa(os.Getppid()) {
		t.Errorf("the parent is %s, not %d", fields[1], os.Getppid())
	}
	if _, err := Fields(-1); err == nil {
		t.Error("there is a process of no number")
	}
}
