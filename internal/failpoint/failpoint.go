// Package failpoint names the moments at which tests end, stop or hold the process: after each write
// that a restart must make sense of, and each step that others have to make sense of.
//
// Only a program that is built with -tags failpoints can be steered: by files in the directory that its
// environment names, which a test makes as a [Dir]. In any other program a point is nothing.
package failpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Env is the variable with the directory of points that are armed.
const Env = "PYISOLATE_FAILPOINTS"

// Action is what happens at a point.
type Action string

// Actions.
const (
	Kill Action = "kill" // SIGKILL
	Stop Action = "stop" // SIGSTOP: who goes on later does so from here
	Wait Action = "wait" // until Dir.Release
)

// Dir is a directory by which a program is steered, by who tests it. An armed point is a file of its name.
type Dir string

// reached is what the name of an armed point's file ends with from when it was reached, until it is released.
const reached = ".reached"

func (d Dir) path(point string) string { return filepath.Join(string(d), point) }

// Arm has something happen when a point is reached the hit-th time from now on, once.
func (d Dir) Arm(point string, a Action, hit int) error {
	if err := d.Release(point); err != nil {
		return err
	}
	text := fmt.Sprintln(a, hit, time.Now().UnixNano()) // the time tells it from what it was armed with before
	path := d.path(point)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return fmt.Errorf("failpoint: %w", err)
	}
	return os.Rename(path+".new", path)
}

// Reached tells whether it has happened, and was not released.
func (d Dir) Reached(point string) bool {
	_, err := os.Stat(d.path(point) + reached)
	return err == nil
}

// Release has who waits at a point go on, and disarms it.
func (d Dir) Release(point string) error {
	for _, path := range []string{d.path(point), d.path(point) + reached} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("failpoint: %w", err)
		}
	}
	return nil
}
