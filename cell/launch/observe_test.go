package launch_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
	"github.com/pyisolate/pyisolate/internal/await"
)

type changes struct {
	mu  sync.Mutex
	all []launch.HostChange
}

func (c *changes) hear(h launch.HostChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, h)
}

// ends are those so far, in order.
func (c *changes) ends() (ends []launch.HostEnd) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.all {
		if h.Ended != "" {
			ends = append(ends, h.Ended)
		}
	}
	return ends
}

// pid is the first host's process. The host is not asked, which may have no time to answer in.
func (c *changes) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[0].PID
}

// bounds are the first change of all, and the first end.
func (c *changes) bounds() (first, end launch.HostChange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := slices.IndexFunc(c.all, func(h launch.HostChange) bool { return h.Ended != "" })
	return c.all[0], c.all[at]
}

// Whoever observes a launcher hears of each host once when it starts and once when it ends, and
// why.
func TestHostChanges(t *testing.T) {
	away := launch.Config{BackoffFirst: time.Hour, BackoffMost: time.Hour} // nobody comes in its place
	hang, wedge := away, away
	hang.KillGrace, hang.AnswerGrace = 50*time.Millisecond, 100*time.Millisecond
	wedge.KillGrace, wedge.RetireGrace = 50*time.Millisecond, 100*time.Millisecond
	for _, c := range []struct {
		name   string
		config launch.Config
		do     func(*testing.T, *launch.Launcher, cell.Cell, *changes)
		want   launch.HostEnd
	}{
		{"idle", launch.Config{IdleTimeout: time.Millisecond}, func(t *testing.T, _ *launch.Launcher, c cell.Cell, _ *changes) { closed(t, c) }, launch.Idle},
		{"died", away, func(_ *testing.T, _ *launch.Launcher, c cell.Cell, _ *changes) { _ = run(c, "crash") }, launch.Died},
		{"killed", hang, func(t *testing.T, _ *launch.Launcher, c cell.Cell, heard *changes) {
			stop(t, heard.pid()) // or it may answer yet
			_, _ = c.Inspect(t.Context())
		}, launch.Killed},
		{"retired", wedge, func(t *testing.T, _ *launch.Launcher, c cell.Cell, _ *changes) { wedged(t, c); closed(t, c) }, launch.Retired},
		{"closed", launch.Config{}, func(t *testing.T, l *launch.Launcher, _ cell.Cell, _ *changes) {
			if err := l.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}, launch.Closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard changes
			c.config.Hosts = heard.hear
			l := launcher(t, c.config)
			one := spawn(t, l, cell.Spec{})
			if err := run(one, ""); err != nil {
				t.Fatal(err)
			}
			c.do(t, l, one, &heard)
			await.That(t, "the host has ended", func() bool { return slices.Equal(heard.ends(), []launch.HostEnd{c.want}) })
			first, last := heard.bounds()
			if first.Ended != "" || first.Failed != nil || first.PID == 0 || last.Reason == "" || last.Up <= 0 {
				t.Errorf("heard %+v and %+v", first, last)
			}
			if n := l.Traffic(); n.FramesIn == 0 || n.FramesOut == 0 || n.BytesIn <= n.FramesIn || n.BytesOut <= n.FramesOut {
				t.Errorf("traffic %+v", n)
			}
		})
	}
}

func TestHostThatDoesNotStart(t *testing.T) {
	var heard changes
	l := launcher(t, launch.Config{Executable: []string{"/nowhere"}, Hosts: heard.hear})
	if _, err := l.Spawn(t.Context(), cell.Spec{}); err == nil {
		t.Fatal("it started")
	}
	if len(heard.all) != 1 || heard.all[0].Failed == nil || heard.all[0].PID != 0 {
		t.Errorf("heard %+v", heard.all)
	}
}

// What channels have carried does not fall when hosts end.
func TestTrafficOnlyGrows(t *testing.T) {
	l := launcher(t, launch.Config{IdleTimeout: time.Millisecond})
	before := l.Traffic()
	for range 3 {
		c := spawn(t, l, cell.Spec{})
		if err := run(c, ""); err != nil {
			t.Fatal(err)
		}
		closed(t, c)
		until(t, l, "no host", func(s launch.Stats) bool {
			now := l.Traffic()
			if now.Most(before) != now {
				t.Errorf("%+v after %+v", now, before)
			}
			before = now
			return s.Hosts == 0
		})
	}
	if l.KernelUsage() != (cell.KernelUsage{}) {
		t.Error("the kernel has counted without programs")
	}
	c := spawn(t, l, cell.Spec{Name: "posts"})
	if err := run(c, "post 1\npost 2"); err != nil || l.Unreceived() != 2 {
		t.Errorf("%d items wait: %v", l.Unreceived(), err)
	}
	if _ = received(t, c, 2); l.Unreceived() != 0 {
		t.Errorf("%d items wait still", l.Unreceived())
	}
	if _, says := spawn(t, l, cell.Spec{}).(interface{ Warm() bool }); !says {
		t.Error("a cell does not say whether it was warm")
	}
}
