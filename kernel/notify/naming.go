package notify

import (
	"sync"

	"golang.org/x/sys/unix"
)

// naming keeps two that are watched from putting directories into one directory at the same
// time: a name that was looked at is then still of what it was. Files come and go meanwhile.
type naming struct {
	mu   sync.Mutex
	free sync.Cond // of mu
	held map[inode]bool
}

type inode struct{ device, number uint64 }

func newNaming() *naming {
	n := &naming{held: map[inode]bool{}}
	n.free.L = &n.mu
	return n
}

// hold waits until it has all the directories, and takes them until free is called.
func (n *naming) hold(dirs ...place) (free func()) {
	ids := map[inode]bool{}
	for _, d := range dirs {
		ids[inodeOf(d.st)] = true
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.any(ids) {
		n.free.Wait()
	}
	for id := range ids {
		n.held[id] = true
	}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		for id := range ids {
			delete(n.held, id)
		}
		n.free.Broadcast()
	}
}

func (n *naming) any(ids map[inode]bool) bool {
	for id := range ids {
		if n.held[id] {
			return true
		}
	}
	return false
}

func inodeOf(st unix.Stat_t) inode { return inode{st.Dev, st.Ino} }
