package policystore

// Exists reports whether dir holds a store, or what is left of one.
func Exists(dir string) (bool, error) { panic("not yet") }

// Found makes the store in dir, or a new one, that of the first voter of a group that others
// will join; what a node by itself wrote stays. It is for a store that is not open.
func Found(dir, node string) error { panic("not yet") }
