package policy

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is how many links one path may lead over.
const maxLinks = 255

// LookUp returns where a clean, absolute path leads on this machine, and the links that were
// followed, by their own real paths; those also when it fails. Of a path that is not there yet it
// is what the path will be: what is there of it is looked up, and the rest follows as it is
// written. Only where a link leads up again from what is not there, it is the path itself.
//
// It fails where the path goes on behind what is no directory, with ELOOP where it is endless,
// and where this process may not look.
func LookUp(path string) (at string, links []string, err error) {
	at = "/"
	missing := false
	for rest := strings.Split(path, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch {
		case missing && name == "..":
			return path, links, nil
		case missing && (name == "" || name == "."):
			continue
		case name == "" || name == "." || name == "..":
			if at, err = turn(at, name); err != nil {
				return "", links, err
			}
			continue
		}
		next := strings.TrimSuffix(at, "/") + "/" + name
		text, err := os.Readlink(next)
		missing = errors.Is(err, fs.ErrNotExist)
		switch {
		case missing, errors.Is(err, unix.EINVAL): // no link
			at = next
			continue
		case err != nil:
			return "", links, err
		case len(links) == maxLinks:
			return "", links, &fs.PathError{Op: "look up", Path: path, Err: unix.ELOOP}
		}
		links = append(links, next)
		if strings.HasPrefix(text, "/") {
			at = "/"
		}
		rest = append(strings.Split(text, "/"), rest...)
	}
	return at, links, nil
}

// turn is where a directory's name that is none leads: to itself, or above it.
func turn(dir, name string) (string, error) {
	if _, err := os.Lstat(dir + "/."); err != nil { // no directory
		return "", err
	}
	if name == ".." {
		dir = dir[:max(strings.LastIndexByte(dir, '/'), 1)]
	}
	return dir, nil
}
