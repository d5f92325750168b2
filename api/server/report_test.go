package server

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/live"
)

// told is a cell that says nothing but how it is, if its host still answers.
type told struct {
	cell.Cell
	hangs bool
}

func (told) ID() string      { return "id" }
func (told) Spec() cell.Spec { return cell.Spec{} }
func (c told) Inspect(ctx context.Context) (cell.Report, error) {
	if c.hangs {
		<-ctx.Done()
		return cell.Report{}, ctx.Err()
	}
	return cell.Report{State: cell.Running}, ctx.Err()
}

// Cells of a host that does not answer hold up no other tenant's reports, nor the call.
func TestReportsOfHostsThatHang(t *testing.T) {
	var all []*resident
	for i := range 200 {
		tenant := "a"
		if i >= 100 {
			tenant = "b"
		}
		all = append(all, &resident{key: cellKey{tenant, fmt.Sprint(i)}, cell: told{hangs: tenant == "a"},
			inForce: live.Revision{Compiled: &document.Compiled{}}})
	}
	began := time.Now()
	for i, r := range reports(t.Context(), all) {
		if known := r.GetState() != ""; known != (i >= 100) || r.GetCell().GetName() != fmt.Sprint(i) {
			t.Errorf("cell %d: %v", i, r)
		}
	}
	if took := time.Since(began); took > shortCall/2 {
		t.Errorf("it took %s", took)
	}
}
