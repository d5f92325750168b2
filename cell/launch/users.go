package launch

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/pyisolate/pyisolate/cell"
)

// Users are those that process cells run as when the node is root: Count from
// First on, of which each cell takes one, as user and as group. They should own
// nothing and be nobody else's.
type Users struct{ First, Count uint32 }

// defaultUsers lie where systemd's list of ranges has nobody, neither people nor
// services nor containers. Where a container maps no such users, nobody remains.
var (
	defaultUsers = Users{First: 1879048192, Count: 1 << 20}
	nobody       = Users{First: 65534, Count: 1}
)

// usersPerHost is as many cells as a host can have.
const usersPerHost = 4096

// allot cuts the users into shares, one a host. With more hosts than shares some
// are used twice.
type allot struct {
	users Users
	none  string // why there are no users

	mu    sync.Mutex
	given []int // hosts that have the share
}

func newAllot(c Config) *allot {
	a := new(allot)
	a.users, a.none = chooseUsers(c.Users)
	if a.none == "" {
		a.given = make([]int, max(1, a.users.Count/usersPerHost))
	}
	return a
}

// chooseUsers says which users a node of this configuration can give cells, or why
// none.
func chooseUsers(wanted Users) (Users, string) {
	if uid := os.Geteuid(); uid != 0 {
		return Users{}, fmt.Sprintf("the node is not root: process cells run as its user %d", uid)
	}
	candidates := []Users{wanted}
	if wanted.Count == 0 {
		candidates = []Users{defaultUsers, nobody}
	}
	for _, u := range candidates {
		if mapped("/proc/self/uid_map", u) && mapped("/proc/self/gid_map", u) {
			return u, ""
		}
	}
	return Users{}, fmt.Sprintf("users %d to %d do not exist in the node's user namespace: set Users to some that do",
		candidates[0].First, uint64(candidates[0].First)+uint64(candidates[0].Count)-1)
}

// mapped reports whether a line of the map has all users.
func mapped(file string, u Users) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var inside, outside, count uint64
		if _, err := fmt.Sscan(strings.TrimSpace(lines.Text()), &inside, &outside, &count); err != nil {
			return false
		}
		if uint64(u.First) >= inside && uint64(u.First)+uint64(u.Count) <= inside+count {
			return true
		}
	}
	return false
}

// take gives a host the share that the fewest have. The caller gives it back by
// number when the host is dead.
func (a *allot) take(b cell.Backend) (share Users, number int) {
	if b != cell.Process || a.none != "" {
		return Users{}, -1
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, n := range a.given {
		if n < a.given[number] {
			number = i
		}
	}
	a.given[number]++
	return Users{First: a.users.First + uint32(number)*usersPerHost, Count: min(a.users.Count, usersPerHost)}, number
}

func (a *allot) give(number int) {
	if number < 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given[number]--
}
