package near_test

import (
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/internal/near"
)

func TestName(t *testing.T) {
	names := []string{"mode", "socket", "socket-mode", "log"}
	for written, want := range map[string]string{
		"mode": "mode", "modes": "mode", "Mdoe": "mode", "sokcet": "socket", "socket_mode": "socket-mode",
		"": "", "colour": "", "lg": "log", strings.Repeat("x", 100): "",
	} {
		if got := near.Name(written, names); got != want {
			t.Errorf("Name(%q) = %q, want %q", written, got, want)
		}
	}
}
