package pydist

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// childEnv makes the test binary resolve once in the cache it names and exit, so
// that tests can use processes of their own.
const childEnv = "PYDIST_TEST_CHILD_CACHE"

// halfEnv has it stop half-way, until it is killed.
const halfEnv = "PYDIST_TEST_CHILD_HALF"

// sharedCache is unpacked once for all tests that only read it.
var sharedCache string

func TestMain(m *testing.M) {
	if cache := os.Getenv(childEnv); cache != "" {
		os.Exit(resolveAsChild(cache))
	}
	var err error
	if sharedCache, err = os.MkdirTemp("", "pydist-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := os.RemoveAll(sharedCache); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(code)
	}))
}

// resolveAsChild prints "unpacking" when it is the one to unpack, and "ready"
// with the library's hash at the end.
func resolveAsChild(cache string) int {
	d, err := Resolve(context.Background(), Options{CacheDir: cache, Progress: func(done, _ int64) {
		if done == 0 {
			fmt.Println("unpacking")
		} else if os.Getenv(halfEnv) != "" {
			fmt.Println("half-way")
			<-time.After(time.Hour)
		}
	}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready", d.SHA256)
	return 0
}
