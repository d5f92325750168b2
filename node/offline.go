package node

import "errors"

// WithData does something to a data directory that no node has, and keeps nodes away meanwhile. An
// empty dir is [DefaultData]; what do is given is absolute. The errors are as Open's: [ErrInUse]
// while a node serves, [ErrData]; and do's.
func WithData(dir, version string, do func(dir string) error) error {
	c := Config{Data: dir}.withDefaults()
	if c.Data == "" {
		return errors.New("node: there is no place for data: name one with data")
	}
	d, err := openDataDir(c.Data, "no socket, for it does not serve", version)
	if err != nil {
		return err
	}
	return errors.Join(do(c.Data), d.close())
}
