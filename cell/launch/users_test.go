package launch

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pyisolate/pyisolate/cell"
)

func TestSharesOfUsers(t *testing.T) {
	a := &allot{users: Users{First: 100000, Count: 3 * usersPerHost}, given: make([]int, 3)}
	if _, number := a.take(cell.SubInterpreter); number != -1 {
		t.Errorf("a host of threads has share %d", number)
	}
	seen := map[uint32]int{}
	for range 3 {
		share, number := a.take(cell.Process)
		if share.Count != usersPerHost || share.First != 100000+uint32(number)*usersPerHost {
			t.Errorf("share %d is %+v", number, share)
		}
		seen[share.First]++
	}
	if len(seen) != 3 {
		t.Errorf("shares overlap: %v", seen)
	}
	a.give(1)
	a.give(-1)
	if _, number := a.take(cell.Process); number != 1 {
		t.Errorf("the free share is 1, given was %d", number)
	}
	small := &allot{users: nobody, given: make([]int, 1)}
	if share, _ := small.take(cell.Process); share != nobody {
		t.Errorf("the share of one user is %+v", share)
	}
}

func TestMappedUsers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "uid_map")
	if err := os.WriteFile(file, []byte("         0       1000          1\n         1     100000      65535\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		users Users
		want  bool
	}{
		{nobody, true}, {Users{1, 65535}, true}, {Users{1, 65536}, false}, {Users{0, 2}, false}, {defaultUsers, false},
	} {
		if got := mapped(file, tc.users); got != tc.want {
			t.Errorf("%+v: %v", tc.users, got)
		}
	}
	if mapped(file+"-missing", nobody) {
		t.Error("a map that cannot be read maps users")
	}
}

func TestUsersOfThisNode(t *testing.T) {
	u, none := chooseUsers(Users{})
	if root := os.Geteuid() == 0; root != (u.Count > 0) || root != (none == "") {
		t.Errorf("user %d chooses %+v: %q", os.Geteuid(), u, none)
	}
	if _, none := chooseUsers(Users{First: 4294967295, Count: 2}); none == "" {
		t.Error("users beyond the last one are chosen")
	}
}
