package probe

import (
	"fmt"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Row is the finding about one feature.
type Row struct {
	Feature Feature `json:"feature"`
	Works   bool    `json:"works"`
	// Value is a version, where the feature has one.
	Value int `json:"value,omitempty"`
	// Tried is what was done, Answer what came of it.
	Tried  string `json:"tried"`
	Answer string `json:"answer"`
}

// Features is the finding about all.
type Features struct {
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	// Root is whether the probing process is user 0.
	Root bool          `json:"root"`
	Rows []Row         `json:"features"`
	Took time.Duration `json:"took_ns"`
}

// Host probes at the first call and returns the same finding ever after. What it returns
// must not be changed.
var Host = sync.OnceValue(Run)

// probes is everything that is tried, in the order of the report.
var probes = []func() []Row{seccompRows, landlockRows, programRows, lsmRows, mapRows, cgroupRows, namespaceRows, callRows}

// Run probes.
func Run() *Features {
	begin := time.Now()
	f := &Features{Kernel: release(), Arch: runtime.GOARCH, Root: unix.Geteuid() == 0}
	for _, p := range probes {
		f.Rows = append(f.Rows, p()...)
	}
	f.Took = time.Since(begin)
	return f
}

func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// Row returns the finding about one feature; of one that was not probed it says so.
func (f *Features) Row(name Feature) Row {
	for _, r := range f.Rows {
		if r.Feature == name {
			return r
		}
	}
	return Row{Feature: name, Tried: "nothing", Answer: "not probed"}
}

// Works reports whether all of the features do.
func (f *Features) Works(names ...Feature) bool {
	for _, name := range names {
		if !f.Row(name).Works {
			return false
		}
	}
	return true
}

// Value returns a feature's version, 0 where it does not work.
func (f *Features) Value(name Feature) int {
	r := f.Row(name)
	if !r.Works {
		return 0
	}
	return r.Value
}

// row makes a finding of an error or its absence.
func row(name Feature, tried string, err error) Row {
	if err != nil {
		return Row{Feature: name, Tried: tried, Answer: err.Error()}
	}
	return Row{Feature: name, Works: true, Tried: tried, Answer: "it worked"}
}

// unexpected says what came instead of an error that should have.
func unexpected(err, want error) error {
	if err == nil {
		return fmt.Errorf("it had no effect: %w was expected", want)
	}
	return fmt.Errorf("%w; %w was expected", err, want)
}
