package systemtest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cell/launch"
)

// Threads of a guest share the two rings: more than fits is posted, and each
// answer comes to who asked.
func TestGuestThreadsShareTheRings(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) { shareTheRings(t, l, b) })
}

func shareTheRings(t *testing.T, l *launch.Launcher, b cell.Backend) {
	t.Helper()
	rec := &recorder{answer: func(q cell.Request) (cell.Value, error) { return q.Payload, nil }}
	c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Sink: rec, Limits: cell.Limits{Children: 4}})
	done := make(chan error, 1)
	go func() { // the posts are more than waits for a receiver
		done <- c.Exec(soon(t), source(`
import threading
def work(n):
    for i in range(300):
        post(str(n) + "x" * 3000)
        if request("echo", "get", [n, i]) != [n, i]: post("another's answer")
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for t in threads: t.start()
for t in threads: t.join()`))
	}()
	for i := range 4 * 300 {
		item, err := c.Recv(soon(t))
		if err != nil || len(item.Value.Data) != len(`"0"`)+3000 {
			t.Fatalf("post %d is %.40s, %d bytes, %v", i, item.Value.Data, len(item.Value.Data), err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A thread that stays behind and waits for the inbox takes no operation away.
func TestThreadThatReceivesLeavesTheLoopItsOperations(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"}, Limits: cell.Limits{Children: 1}})
		posts(t, c, "import threading\ngot = []\nwaiting = threading.Thread(target=lambda: got.append(recv()), daemon=False)\nwaiting.start()")
		for range 100 {
			alive(t, c)
		}
		if err := c.Send(soon(t), cell.BytesValue([]byte("now"))); err != nil {
			t.Fatal(err)
		}
		if got := posts(t, c, "waiting.join()\npost(got[0].decode())"); !slices.Equal(got, []string{`"now"`}) {
			t.Errorf("the thread received %s", got)
		}
		for range 100 {
			alive(t, c)
		}
	})
}

// An interrupt reaches threads that wait for one another's turn to post.
func TestInterruptMeetsThreadsThatPost(t *testing.T) {
	everyBackend(t, func(t *testing.T, l *launch.Launcher, b cell.Backend) {
		c := spawn(t, l, cell.Spec{Backend: b, Imports: []string{"threading"},
			Limits: cell.Limits{Children: 4, Wall: 200 * time.Millisecond, QueueItems: 4}})
		err := c.Exec(soon(t), source(`
import threading
def work():
    while True: post("x" * 3000)
for n in range(4): threading.Thread(target=work).start()
work()`))
		if !errors.Is(err, cell.Timeout) {
			t.Errorf("ends with %v", err)
		}
	})
}
