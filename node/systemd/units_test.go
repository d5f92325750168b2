package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const units = "../../deploy/systemd"

// unit is what a unit file sets: values by SECTION.Key, in their order.
type unit map[string][]string

// readUnit reads a unit file, and fails on a line that is none of one.
func readUnit(t *testing.T, path string) unit {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	u, section := unit{}, ""
	assignment := regexp.MustCompile(`^([A-Z][A-Za-z]*)=(.*)$`)
	for i, line := range strings.Split(string(text), "\n") {
		switch m := assignment.FindStringSubmatch(line); {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]"):
			section = line[1 : len(line)-1]
		case m != nil && section != "":
			u[section+"."+m[1]] = append(u[section+"."+m[1]], m[2])
		default:
			t.Errorf("%s:%d: %q is no line of a unit", path, i+1, line)
		}
	}
	return u
}

// What the service promises to systemd, and to the socket's unit, holds.
func TestUnits(t *testing.T) {
	service := readUnit(t, filepath.Join(units, "pyisolate-node.service"))
	socket := readUnit(t, filepath.Join(units, "pyisolate-node.socket"))
	dropIn := readUnit(t, filepath.Join(units, "pyisolate-node.service.d", "unprivileged.conf.example"))
	// Of a dynamic user systemd makes what it preserves a directory below /run/private, which is root's.
	if dynamic, preserve := dropIn["Service.DynamicUser"], dropIn["Service.RuntimeDirectoryPreserve"]; slices.Contains(dynamic, "yes") && !slices.Equal(preserve, []string{"no"}) {
		t.Errorf("clients cannot reach the socket of a dynamic user's directory: RuntimeDirectoryPreserve is %q, want no", preserve)
	}
	for key, want := range map[string]string{"Service.Type": "notify", "Service.KillMode": "mixed", "Service.RuntimeDirectory": "pyisolate",
		"Service.RuntimeDirectoryPreserve": "yes", "Service.StateDirectoryMode": "0700", "Service.Delegate": "cpu memory pids"} {
		if got := service[key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	// A second service, or a client without --socket, finds the same place.
	if got := socket["Socket.ListenStream"]; !slices.Equal(got, []string{"/run/pyisolate/node.sock"}) {
		t.Errorf("the socket is %q", got)
	}
	for _, name := range strings.Fields(service["Service.CapabilityBoundingSet"][0]) {
		if !regexp.MustCompile(`\b` + strings.TrimPrefix(name, "CAP_") + `\b`).MatchString(reasons(t)) {
			t.Errorf("%s is left to the node, and no comment says what for", name)
		}
	}
	for _, breaks := range []string{"RestrictNamespaces", "PrivateUsers", "ProtectKernelTunables", "ProtectControlGroups", "SystemCallFilter", "PrivateDevices", "PrivateNetwork"} {
		if got, set := service["Service."+breaks]; set {
			t.Errorf("%s=%s takes away what cells need", breaks, got)
		}
	}
}

// reasons are the comments of the service right above its capabilities.
func reasons(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(units, "pyisolate-node.service"))
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`((?m:^#.*\n)+)CapabilityBoundingSet=`).FindString(string(text))
}

// systemd itself finds nothing to complain about.
func TestSystemdVerifies(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed; TestUnits reads the units by itself")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const dropIn = "pyisolate-node.service.d/unprivileged.conf"
	for name, files := range map[string][]string{
		"as they are":      {"pyisolate-node.service", "pyisolate-node.socket"},
		"with the drop-in": {"pyisolate-node.service", dropIn},
	} {
		t.Run(name, func(t *testing.T) { verify(t, analyze, self, files) })
	}
}

// verify has systemd read units, with an executable that is installed.
func verify(t *testing.T, analyze, self string, files []string) {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for _, name := range files {
		from := name
		if strings.HasSuffix(name, ".conf") {
			from += ".example"
		}
		text, err := os.ReadFile(filepath.Join(units, from))
		if err != nil {
			t.Fatal(err)
		}
		// The binary is not installed here; any executable does.
		installed := strings.ReplaceAll(string(text), "/usr/local/bin/pyisolate-node", self)
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(installed), 0o600); err != nil {
			t.Fatal(err)
		}
		if from == name { // a drop-in is found beside its unit
			paths = append(paths, path)
		}
	}
	out, err := exec.Command(analyze, append([]string{"verify", "--man=no"}, paths...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze: %v\n%s", err, out)
	}
}
