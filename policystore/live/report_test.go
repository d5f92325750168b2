package live

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/internal/await"
	"github.com/pyisolate/pyisolate/policystore"
)

// named is a recorder that says whose it is.
type named struct{ *recorder }

func (named) Subject() (tenant, cell string) { return "acme", "worker" }

// Each version is reported once, whatever became of it, and of whom.
func TestReported(t *testing.T) {
	reports := make(chan Report, 10)
	w := newWorld(t, Options{Reported: func(r Report) { reports <- r }})
	w.put("p", "s: {imports: [math]}")
	target := named{&recorder{fail: func(r Revision) error {
		if r.Version == 3 {
			return errors.New("it does not like this one")
		}
		return nil
	}}}
	w.follow("p", "s", target)
	for _, c := range []struct {
		name     string
		document string // "" for the first
		version  uint64 // in force then
		failed   bool
		took     bool
	}{
		{"the first", "", 1, false, true},
		{"another", "s: {imports: [json]}", 2, false, true},
		{"one that the cell refuses", "s: {imports: [re]}", 2, true, true},
		{"one without its sandbox", "other: {imports: [re]}", 2, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.document != "" {
				w.put("p", c.document)
			}
			r := <-reports
			if r.Tenant != "acme" || r.Cell != "worker" || r.Policy != "p" || r.Version != c.version || (r.Failed != "") != c.failed || (r.Took > 0) != c.took {
				t.Errorf("report %+v", r)
			}
		})
	}
	w.put("q", "s: {imports: [re]}") // what nobody follows
	if len(reports) != 0 {
		t.Errorf("then %+v", <-reports)
	}
}

// A target is behind from when it keeps an old version until it has a newer one, its policy is
// deleted, or it is followed no more.
func TestBehind(t *testing.T) {
	w := newWorld(t, Options{})
	w.put("p", "s: {files: 10}")
	w.follow("p", "", &recorder{})
	refuses := &recorder{fail: func(r Revision) error {
		if r.Version%2 == 0 {
			return cell.Errorf(cell.PolicyDenied, "not this one")
		}
		return nil
	}}
	w.follow("p", "", refuses)
	gone := w.follow("p", "", &recorder{fail: refuses.fail})
	behind := func(when string, want int) {
		t.Helper()
		await.That(t, fmt.Sprintf("%d are behind %s", want, when), func() bool { return w.Behind() == want })
	}
	behind("at first", 0)
	w.put("p", "s: {files: 11}")
	behind("a version that two refuse", 2)
	gone.Close()
	behind("when one of them is followed no more", 1)
	w.put("p", "s: {files: 12}")
	behind("when they have a newer one", 0)
	w.put("p", "other: {files: 12}", "s: {files: 12}")
	behind("a version without their sandbox", 2)
	if _, err := w.Delete(t.Context(), editor, policystore.DeleteRequest{Name: "p"}); err != nil {
		t.Fatal(err)
	}
	behind("what is deleted", 0)
}
