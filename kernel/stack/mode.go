package stack

import "fmt"

// Mode is what becomes of a duty that no layer holds.
type Mode string

// The modes.
const (
	Hardened      Mode = "hardened"
	Dev           Mode = "dev"
	Compatibility Mode = "compatibility"
)

// Modes are all.
var Modes = []Mode{Hardened, Dev, Compatibility}

// ParseMode reads a mode's name.
func ParseMode(text string) (Mode, error) {
	for _, m := range Modes {
		if text == string(m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("mode %q is not known; hardened, dev and compatibility are", text)
}
