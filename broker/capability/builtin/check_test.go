package builtin_test

import (
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
)

func TestCheckScope(t *testing.T) {
	for grant, want := range map[string]string{
		"fs.read=/no/such/path": "",
		"fs.list=/a":            "",
		"fs.write={\"roots\": [\"/a\"], \"mode\": \"0640\"}": "",
		"fs.read={\"roots\": [\"/a\"], \"mode\": \"0640\"}":  "for fs.write",
		"fs.read=data":                   "not an absolute path",
		"fs.read":                        "name 1 to",
		"kv":                             "",
		"kv=app/":                        "",
		"kv={\"max_keys\": -1}":          "max_keys is -1",
		"kv={\"prefx\": \"a\"}":          "prefx",
		"clock":                          "",
		"clock=now":                      "takes no arguments",
		"random":                         "",
		"http.fetch=api.example.com:443": "",
		"http.fetch={\"hosts\": [\"a\"], \"methds\": []}": "methds",
		"secrets.get=DB_PASSWORD":                         "",
		"secrets.get=a b":                                 "not valid",
		"send=worker":                                     "",
		"subprocess.run=/usr/bin/no-such-program -c":      "",
		"subprocess.run={\"programs\": []}":               "name 1 to",
		"http.fetsh=api.example.com":                      "there is no such capability",
	} {
		g, err := capability.ParseGrant(grant)
		if err != nil {
			t.Fatal(err)
		}
		if err = builtin.CheckScope(g); (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", grant, err, want)
		}
	}
}
