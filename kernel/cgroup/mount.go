package cgroup

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Mount is one mounted hierarchy of control groups.
type Mount struct {
	// Version is 1 or 2.
	Version int
	// Point is where it is mounted, Root which of its groups is seen there.
	Point, Root string
	// Controllers are those of a version 1 hierarchy, or its name as "name=systemd".
	// Of version 2 it is empty: each group tells its own.
	Controllers []string
}

// Mounts lists the hierarchies that this process sees.
func Mounts() ([]Mount, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list the mounts: %w", err)
	}
	return parseMounts(string(data)), nil
}

// parseMounts reads proc_pid_mountinfo(5). A line that it cannot read is no cgroup
// mount for it: the file has lines of every kind.
func parseMounts(info string) []Mount {
	var mounts []Mount
	for line := range strings.Lines(info) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) < 3 {
			continue
		}
		m := Mount{Point: unescape(fields[4]), Root: unescape(fields[3])}
		switch kind[0] {
		case "cgroup2":
			m.Version = 2
		case "cgroup":
			m.Version = 1
			m.Controllers = controllersOf(kind[2])
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts
}

// controllersOf picks the controllers from the options of a version 1 superblock.
func controllersOf(options string) []string {
	var list []string
	for _, o := range strings.Split(options, ",") {
		switch o {
		case "rw", "ro", "clone_children", "noprefix", "xattr", "cpuset_v2_mode", "favordynmods", "none", "all", "":
			continue
		}
		if strings.HasPrefix(o, "release_agent=") {
			continue
		}
		list = append(list, o)
	}
	return list
}

// unescape undoes the octal escapes of white space and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) && isOctal(s[i+1]) && isOctal(s[i+2]) && isOctal(s[i+3]) {
			b.WriteByte((s[i+1]-'0')<<6 | (s[i+2]-'0')<<3 | (s[i+3] - '0'))
			i += 3
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

// membership is where a process is in each hierarchy: by "" for version 2, by each
// controller of version 1.
func parseMembership(text string) map[string]string {
	of := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		for _, controller := range strings.Split(parts[1], ",") {
			of[controller] = parts[2]
		}
	}
	return of
}

// Own returns the directory of the group that this process is in, in the hierarchy
// of m.
func (m Mount) Own() (string, error) {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", fmt.Errorf("find this process's control group: %w", err)
	}
	return m.own(parseMembership(string(data)))
}

func (m Mount) own(of map[string]string) (string, error) {
	key := ""
	if m.Version == 1 && len(m.Controllers) > 0 {
		key = m.Controllers[0]
	}
	path, ok := of[key]
	if !ok {
		return "", fmt.Errorf("this process is in no control group of %s", m.Point)
	}
	inside, err := filepath.Rel(m.Root, path)
	if err != nil || inside == ".." || strings.HasPrefix(inside, "../") {
		return "", fmt.Errorf("control group %s is not below what %s shows", path, m.Point)
	}
	return filepath.Join(m.Point, inside), nil
}

// Find returns the mount of a version 1 controller, or, for "", of version 2.
func Find(mounts []Mount, controller string) (Mount, bool) {
	i := slices.IndexFunc(mounts, func(m Mount) bool {
		if controller == "" {
			return m.Version == 2
		}
		return m.Version == 1 && slices.Contains(m.Controllers, controller)
	})
	if i < 0 {
		return Mount{}, false
	}
	return mounts[i], true
}
