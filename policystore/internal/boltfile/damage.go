package boltfile

import "fmt"

// Damage is what is wrong with a file.
type Damage struct {
	File string
	What string // where in the file, and what is wrong there
}

func (d *Damage) Error() string { return fmt.Sprintf("%s: damaged: %s", d.File, d.What) }
