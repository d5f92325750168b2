package files

import (
	"context"
	"slices"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Bounds of a listing, in entries.
const (
	defaultEntries = 1000
	maxEntries     = 10_000
	// maxDirectory is the largest directory we sort.
	maxDirectory = 100_000
)

type listArgs struct {
	Path  string `json:"path"`
	After string `json:"after"`
	Limit int    `json:"limit"`
}

// Entry is one name in a directory.
type Entry struct {
	Name string `json:"name"`
	Status
}

// Listing is the answer to list. Entries are in the order of their names' bytes.
type Listing struct {
	Entries []Entry `json:"entries"`
	// More is true when there are further names: ask again after the last one. There is one, then.
	More bool `json:"more"`
	// Unlisted counts names that are not UTF-8.
	Unlisted int `json:"unlisted,omitempty"`
}

func listDir(ctx context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	a := listArgs{Limit: defaultEntries}
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	if a.Limit < 1 || a.Limit > maxEntries {
		return capability.Value{}, capability.Errorf(capability.Invalid, "limit is %d; it must be between 1 and %d", a.Limit, maxEntries)
	}
	p, err := s.at(c, a.Path)
	if err != nil {
		return capability.Value{}, err
	}
	fd, err := p.open(p.rel, unix.O_RDONLY|unix.O_DIRECTORY|openFlags, 0)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := p.checkFS(fd); err != nil {
		return capability.Value{}, err
	}
	names, err := namesIn(ctx, p, fd)
	if err != nil {
		return capability.Value{}, err
	}
	return capability.JSONValue(page(fd, names, a, c.MaxAnswer))
}

// namesIn returns all names, sorted.
func namesIn(ctx context.Context, p place, fd int) ([]string, error) {
	var names []string
	buf := make([]byte, 32<<10)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, p.explain(err)
		}
		if n <= 0 {
			slices.Sort(names)
			return names, nil
		}
		if _, _, names = unix.ParseDirent(buf[:n], -1, names); len(names) > maxDirectory {
			return nil, capability.Errorf(capability.TooLarge, "%s has more than %d entries", p.path, maxDirectory)
		}
	}
}

// page picks what was asked for and describes it, within the answer's size. The first entry
// is always in it: where the answer has no room for that, it is refused as a whole.
func page(fd int, names []string, a listArgs, maxAnswer int) Listing {
	l := Listing{Entries: []Entry{}}
	room := maxAnswer - 64
	for _, name := range names {
		switch {
		case !utf8.ValidString(name):
			l.Unlisted++
			continue
		case a.After != "" && name <= a.After:
			continue
		case len(l.Entries) == a.Limit:
			l.More = true
			return l
		}
		var st unix.Stat_t
		if unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
			continue // gone since
		}
		if room -= 6*len(name) + 96; room < 0 && len(l.Entries) > 0 { // a byte can become \u00XX; numbers and keys
			l.More = true
			return l
		}
		l.Entries = append(l.Entries, Entry{Name: name, Status: statusOf(st)})
	}
	return l
}
