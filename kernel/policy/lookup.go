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
		case name == "" || name == "." || name == "..":
			if missing {
				continue
			}
			if _, err := os.Lstat(at + "/."); err != nil { // no directory
				return "", links, err
			}
			if name == ".." {
				at = at[:max(strings.LastIndexByte(at, '/'), 1)]
			}
			continue
		}
		next := strings.TrimSuffix(at, "/") + "/" + name
		text, err := "", error(unix.ENOENT)
		if !missing {
			text, err = os.Readlink(next)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			missing = true
			at = next
			continue
		case errors.Is(err, unix.EINVAL): // no link
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
