// Package clock is the capability clock: the time of the node.
package clock

import (
	"context"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Name of the capability.
const Name = "clock"

// Now is the answer to now.
type Now struct {
	// Unix is nanoseconds since 1970; RFC3339 the same instant as text, in UTC.
	Unix    int64  `json:"unix_ns"`
	RFC3339 string `json:"rfc3339"`
}

// Monotonic is the answer to monotonic: nanoseconds since some point in the node's
// life, the same for all cells. It never goes back.
type Monotonic struct {
	Nanoseconds int64 `json:"ns"`
}

// New returns the capability. Its monotonic clock begins now, so that it does not
// tell how long the machine has been up.
func New() capability.Capability {
	start := time.Now()
	return capability.Func(func(_ context.Context, c *capability.Call) (capability.Value, error) {
		if _, err := c.Arguments(&struct{}{}); err != nil {
			return capability.Value{}, err
		}
		switch c.Action {
		case "now":
			now := time.Now()
			return capability.JSONValue(Now{now.UnixNano(), now.UTC().Format(time.RFC3339Nano)})
		case "monotonic":
			return capability.JSONValue(Monotonic{int64(time.Since(start))})
		}
		return capability.Value{}, c.UnknownAction("now", "monotonic")
	})
}
