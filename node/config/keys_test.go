package config_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/node"
	"github.com/pyisolate/pyisolate/node/config"
)

// Whatever node.Config names a key for can be configured, and nothing else but how to log.
func TestSettingsAreTheNodes(t *testing.T) {
	want := []string{"log", "log-level"}
	for f := range reflect.TypeFor[node.Config]().Fields() {
		key, tagged := f.Tag.Lookup("koanf")
		if !tagged {
			t.Errorf("node.Config.%s has no key", f.Name)
		}
		if key != "-" {
			want = append(want, key)
		}
	}
	var got []string
	for _, s := range config.Settings {
		got = append(got, s.Key)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
