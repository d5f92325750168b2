package builtin

import (
	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/clock"
	"github.com/pyisolate/pyisolate/broker/capability/fetch"
	"github.com/pyisolate/pyisolate/broker/capability/files"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/random"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
	"github.com/pyisolate/pyisolate/broker/capability/send"
	"github.com/pyisolate/pyisolate/broker/capability/subprocess"
)

// CheckScope reports what is wrong with a grant of one of these capabilities: its name, or
// its scope, as far as that can be said before there is what the scope is about. No path is
// opened, no store and no secret asked for. It is for whoever checks policies.
func CheckScope(g capability.Grant) error {
	switch g.Capability {
	case files.ReadName, files.ListName, files.WriteName:
		return files.CheckScope(g.Capability, g.Scope)
	case kv.Name:
		return kv.CheckScope(g.Scope)
	case clock.Name, random.Name:
		if len(g.Scope) > 0 {
			return capability.Errorf(capability.Invalid, "it takes no arguments: grant it by its name alone")
		}
		return nil
	}
	pure := map[string]capability.Scoper{fetch.Name: fetch.New(fetch.Config{}), secrets.Name: secrets.New(nil), send.Name: send.New(nil), subprocess.Name: subprocess.New()}
	scoper := pure[g.Capability]
	if scoper == nil {
		return capability.Errorf(capability.Invalid, "there is no such capability")
	}
	_, err := scoper.Scope(capability.Identity{}, g.Scope)
	return err
}
