package systemtest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// timesOut runs src, which is to receive, with a deadline.
func timesOut(t *testing.T, c cell.Cell, src string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := c.Exec(ctx, source("%s", src)); !errors.Is(err, cell.Timeout) {
		t.Fatalf("%s ends with %v", src, err)
	}
}

func sends(t *testing.T, c cell.Cell, text string) {
	t.Helper()
	if err := c.Send(soon(t), cell.BytesValue([]byte(text))); err != nil {
		t.Fatal(err)
	}
}

// What is sent after a recv was interrupted is the next one's.
func TestInterruptedRecvTakesNothing(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		for _, src := range []string{"recv()", "recv(60)", "try:\n  recv()\nexcept BaseException: pass\nwhile True: recv()"} {
			timesOut(t, c, src)
			sends(t, c, "a")
			if got := posts(t, c, "post(recv(0).decode())"); !slices.Equal(got, []string{`"a"`}) {
				t.Errorf("after %q the next recv gets %s", src, got)
			}
		}
	})
}

// An interrupt is the operation's: a thread beside it receives on.
func TestInterruptLeavesThreadsThatReceive(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Limits: cell.Limits{Children: 1}})
		posts(t, c, "import threading\ngot = []\nwaiting = threading.Thread(target=lambda: got.append(recv()), daemon=False)\nwaiting.start()")
		timesOut(t, c, "recv()")
		sends(t, c, "first")
		sends(t, c, "second")
		want := []string{`"first"`, `"second"`}
		if got := posts(t, c, "waiting.join()\nfor v in got + [recv(0)]: post(v.decode())"); !slices.Equal(got, want) {
			t.Errorf("received %s, want %s", got, want)
		}
	})
}

// Nor does it wake a thread beside it that sleeps.
func TestInterruptLeavesThreadsThatSleep(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading", "time"}, Limits: cell.Limits{Children: 2}})
		posts(t, c, "import threading, time\nsleeping = threading.Thread(target=time.sleep, args=(3600,))\nsleeping.start()")
		timesOut(t, c, "try: recv()\nexcept BaseException: sum(range(10**7))") // goes on for a moment after its interrupt
		got := posts(t, c, "for _ in range(20):\n  other = threading.Thread(target=int)\n  other.start()\n  other.join()\npost(sleeping.is_alive())")
		if !slices.Equal(got, []string{"true"}) {
			t.Errorf("does the thread sleep on? %s", got)
		}
	})
}

// What comes at the moment of an interrupt has been received, or can be.
func TestNothingSentIsLostToInterrupts(t *testing.T) {
	everyBackendBy(t, launch.Config{KillGrace: patient}, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b})
		posts(t, c, "got = []\ntake = recv.__globals__['_c'].recv # no bytecode lies between it and the list")
		var want []string
		for i := range byte(100) {
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- c.Exec(ctx, source("post('on')\ngot.extend(map(take, (-1.0,)))")) }()
			for {
				item, err := c.Recv(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if item.Err == nil { // else of the exec before
					break
				}
			}
			go cancel()
			sends(t, c, string([]byte{'0' + i}))
			if err := <-done; err != nil && !errors.Is(err, cell.Cancelled) && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			want = append(want, strconv.Itoa(int('0'+i)))
		}
		got := posts(t, c, "try:\n  while True: got.append(recv(0))\nexcept Exception: pass\nfor v in got: post(v[0])")
		slices.SortFunc(got, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		if !slices.Equal(got, want) {
			t.Errorf("of %d values these are left: %s", len(want), got)
		}
	})
}
