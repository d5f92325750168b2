package files

import (
	"context"
	"encoding/json"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/broker/capability"
)

// Names of the capabilities.
const (
	ReadName  = "fs.read"
	ListName  = "fs.list"
	WriteName = "fs.write"
)

type action func(ctx context.Context, s *scope, c *capability.Call) (capability.Value, error)

// door is one of the three capabilities.
type door struct {
	name    string
	writes  bool
	actions map[string]action
	names   []string
	walk    bool // never use openat2
}

var _ capability.Scoper = (*door)(nil)

// Read is fs.read: get, stat.
func Read() capability.Scoper { return read() }

func read() *door {
	return &door{name: ReadName, names: []string{"get", "stat"}, actions: map[string]action{"get": get, "stat": stat}}
}

// List is fs.list: list, stat.
func List() capability.Scoper { return list() }

func list() *door {
	return &door{name: ListName, names: []string{"list", "stat"}, actions: map[string]action{"list": listDir, "stat": stat}}
}

// Write is fs.write: put, append, mkdir, delete.
func Write() capability.Scoper { return write() }

func write() *door {
	return &door{name: WriteName, writes: true, names: []string{"put", "append", "mkdir", "delete"},
		actions: map[string]action{"put": put, "append": appendTo, "mkdir": mkdir, "delete": remove}}
}

// Scope opens the roots of a grant.
func (d *door) Scope(_ capability.Identity, raw json.RawMessage) (any, error) {
	s, err := openScope(d.name, raw, d.writes, d.walk)
	if err != nil {
		return nil, err // not s: a nil *scope in an interface would be closed
	}
	return s, nil
}

// Do performs one action.
func (d *door) Do(ctx context.Context, c *capability.Call) (capability.Value, error) {
	do := d.actions[c.Action]
	if do == nil {
		return capability.Value{}, c.UnknownAction(d.names...)
	}
	return do(ctx, c.Scope.(*scope), c)
}

// at notes where a call goes, for the record, and finds it.
func (s *scope) at(c *capability.Call, path string) (place, error) {
	c.SetTarget(path)
	p, err := s.locate(path)
	if err == nil {
		c.SetRule(p.rule)
	}
	return p, err
}

// openFlags: no device or pipe can make an open wait or give us a terminal.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

// chunk is how much is read or written between two looks at the context.
const chunk = 1 << 20

type getArgs struct {
	Path   string `json:"path"`
	Offset int64  `json:"offset"`
	Length *int64 `json:"length"`
}

func get(ctx context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	var a getArgs
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	if a.Offset < 0 || a.Length != nil && *a.Length < 0 {
		return capability.Value{}, capability.Errorf(capability.Invalid, "offset and length must not be negative")
	}
	p, err := s.at(c, a.Path)
	if err != nil {
		return capability.Value{}, err
	}
	fd, err := p.open(p.rel, unix.O_RDONLY|openFlags, 0)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(fd) }()
	st, err := s.checkFile(p, fd)
	if err != nil {
		return capability.Value{}, err
	}
	n := max(0, st.Size-a.Offset)
	if a.Length != nil {
		n = min(n, *a.Length)
	}
	if n > int64(c.MaxAnswer) {
		return capability.Value{}, capability.Errorf(capability.TooLarge,
			"%s has %d bytes from offset %d on; ask for at most %d at once by length", p.path, n, a.Offset, c.MaxAnswer)
	}
	data, err := readAt(ctx, fd, make([]byte, n), a.Offset)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	return capability.BytesValue(data), nil
}

// readAt fills buf as far as the file goes.
func readAt(ctx context.Context, fd int, buf []byte, offset int64) ([]byte, error) {
	done := 0
	for done < len(buf) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := unix.Pread(fd, buf[done:min(done+chunk, len(buf))], offset+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		if n == 0 {
			break
		}
		done += n
	}
	return buf[:done], nil
}

type pathArgs struct {
	Path string `json:"path"`
}

// Status is the answer to stat.
type Status struct {
	// Type is "file", "directory", "link" (in listings only) or "other".
	Type string `json:"type"`
	Size int64  `json:"size"`
	// Modified in nanoseconds since 1970.
	Modified int64 `json:"modified_ns"`
}

func statusOf(st unix.Stat_t) Status {
	kind := "other"
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		kind = "file"
	case unix.S_IFDIR:
		kind = "directory"
	case unix.S_IFLNK:
		kind = "link"
	}
	return Status{Type: kind, Size: st.Size, Modified: st.Mtim.Nano()}
}

func stat(_ context.Context, s *scope, c *capability.Call) (capability.Value, error) {
	var a pathArgs
	if _, err := c.Arguments(&a); err != nil {
		return capability.Value{}, err
	}
	p, err := s.at(c, a.Path)
	if err != nil {
		return capability.Value{}, err
	}
	fd, err := p.open(p.rel, unix.O_PATH, 0)
	if err != nil {
		return capability.Value{}, p.explain(err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := p.checkFS(fd); err != nil {
		return capability.Value{}, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return capability.Value{}, p.explain(err)
	}
	if p.base != "" && st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return capability.Value{}, p.explain(unix.ELOOP)
	}
	return capability.JSONValue(statusOf(st))
}
