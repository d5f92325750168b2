package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/durable"
	"github.com/pyisolate/pyisolate/internal/strictjson"
)

// Files of Dir. The note is what makes it a member's.
const (
	noteFile      = "node.json"
	identityFile  = "identity.pem"
	authorityFile = "authority.pem"
	rosterFile    = "roster.json"
	groupDir      = "directory"
	// leftFile was the note of a node that has left.
	leftFile = "left.json"
)

// note is what a node was told when it became a member.
type note struct {
	Version int    `json:"pyisolate_node"`
	Address string `json:"address"`
	Gossip  string `json:"gossip,omitempty"`
	// Founder is the first node, which the policies' group begins with.
	Founder bool `json:"founder,omitempty"`
}

// lastRoster is the roster as this node last knew it. What a node has of the log is of no use to it
// until it has reached a leader, and to reach one it has to know the others.
type lastRoster struct {
	Version int    `json:"pyisolate_known_roster"`
	Applied uint64 `json:"applied"`
	// Roster as [roster.State.Encode] makes it.
	Roster json.RawMessage `json:"roster"`
}

const filesVersion = 1

// Exists tells whether Dir is of a node that belongs to a cluster.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, noteFile))
	return err == nil
}

// free tells why Dir cannot become a member's. What a node has left behind may go.
func free(dir string) error {
	if dir == "" {
		return errors.New("no directory is named")
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), err == nil && len(entries) == 0:
		return nil
	case err != nil:
		return err
	case Exists(dir):
		return fmt.Errorf("%w: %s", ErrMember, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, leftFile)); err != nil {
		return fmt.Errorf("%s is not empty, and not what a node left: %w; move it away", dir, ErrMember)
	}
	return nil
}

// prepare calls fill with a new directory, which becomes dir when all that fill has written is on
// the disk. Until then there is no member.
func prepare(dir string, fill func(dir string) error) error {
	next := dir + ".new"
	if err := os.RemoveAll(next); err != nil {
		return err
	}
	if err := os.MkdirAll(next, 0o700); err != nil {
		return err
	}
	if err := fill(next); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	if err := durable.SyncDir(next); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil { // empty, or what was left
		return err
	}
	if err := os.Rename(next, dir); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(dir))
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return durable.WriteFile(path, append(text, '\n'), 0o600)
}

func readNote(dir string) (n note, err error) {
	text, err := os.ReadFile(filepath.Join(dir, noteFile))
	if errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("%w: %s has no %s; begin one with `init`, or join one with `cluster join`", ErrNoMember, dir, noteFile)
	}
	if err == nil {
		err = strictjson.Unmarshal(text, &n)
	}
	if err == nil && n.Version != filesVersion {
		err = fmt.Errorf("it has format %d, this version knows %d: run a newer one", n.Version, filesVersion)
	}
	if err != nil {
		return n, fmt.Errorf("read %s: %w", filepath.Join(dir, noteFile), err)
	}
	return n, nil
}

// known is the roster as of a change of the log. It is not changed itself.
type known struct {
	roster  *roster.State
	applied uint64
}

func writeRoster(dir string, k known) error {
	text, err := encodeRoster(k)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, rosterFile), text, 0o600)
}

func readRoster(dir string) (known, error) {
	text, err := os.ReadFile(filepath.Join(dir, rosterFile))
	var k known
	if err == nil {
		k, err = decodeRoster(text)
	}
	if err != nil {
		return k, fmt.Errorf("read %s, without which this node knows nobody: %w; restore it, or remove the node and let it join again", filepath.Join(dir, rosterFile), err)
	}
	return k, nil
}

// encodeRoster and decodeRoster are also how nodes tell each other.
func encodeRoster(k known) ([]byte, error) {
	text, err := k.roster.Encode()
	if err != nil {
		return nil, err
	}
	return json.Marshal(lastRoster{filesVersion, k.applied, text})
}

func decodeRoster(text []byte) (known, error) {
	var l lastRoster
	if err := strictjson.Unmarshal(text, &l); err != nil {
		return known{}, err
	}
	if l.Version != filesVersion {
		return known{}, fmt.Errorf("it has format %d, this version knows %d: run a newer one", l.Version, filesVersion)
	}
	r := &roster.State{}
	if err := r.Read(l.Roster); err != nil {
		return known{}, err
	}
	if len(r.Members()) == 0 {
		return known{}, errors.New("it names no node")
	}
	return known{r, l.Applied}, nil
}
