package host

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// uids gives each process cell a user that no other cell of this host has. The
// node gives each host users of its own.
type uids struct {
	mu          sync.Mutex
	first, some uint32
	next        uint32
	used        map[uint32]struct{}
}

func newUIDs(first, some uint32) *uids {
	return &uids{first: first, some: some, used: map[uint32]struct{}{}}
}

// any is one of the users, or 0 when there are none.
func (u *uids) any() uint32 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sole()
}

func (u *uids) sole() uint32 {
	if u.some == 0 {
		return 0
	}
	return u.first
}

// forbid has all later cells run as the host does.
func (u *uids) forbid() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.some = 0
}

// take returns a user, 0 for the host's own, and whether it is the taker's alone.
func (u *uids) take() (uid uint32, own bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.some <= 1 {
		return u.sole(), false, nil
	}
	if len(u.used) >= int(u.some) {
		return 0, false, fmt.Errorf("host: all %d users for cells are taken", u.some)
	}
	for {
		uid = u.first + u.next
		u.next = (u.next + 1) % u.some
		if _, taken := u.used[uid]; !taken {
			u.used[uid] = struct{}{}
			return uid, true, nil
		}
	}
}

// give takes one back that take returned.
func (u *uids) give(uid uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, uid)
}

// mayKill says why this process could not end a cell of another user, or "".
func mayKill() string {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return fmt.Sprintf("read capabilities: %v", err)
	}
	if data[0].Effective&(1<<unix.CAP_KILL) == 0 {
		return "the host lacks CAP_KILL, with which it would end cells of other users"
	}
	return ""
}
