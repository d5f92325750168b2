package live

import (
	"errors"
	"testing"
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
