package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/pyisolate/pyisolate/cell/host"
	"github.com/pyisolate/pyisolate/policystore/document"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "host" {
		os.Exit(host.Main(host.Options{Threads: host.NewThreads}))
	}
	os.Exit(m.Run())
}

func TestLogsAreRedacted(t *testing.T) {
	var out bytes.Buffer
	if err := run(context.Background(), &out); err != nil {
		t.Fatal(err)
	}
	if want := "info: paid with [redacted], key [redacted]\ninfo: nothing to hide\n"; out.String() != want {
		t.Errorf("got %s, want %s", out.String(), want)
	}
}

func TestWrongExpressionHasItsLine(t *testing.T) {
	_, err := compile(strings.Replace(policy, "[0-9]", "[0-", 1))
	if err == nil || !strings.HasPrefix(err.Error(), "support.yml:6:5: x-redact: ") {
		t.Errorf("%v", err)
	}
}

// Who does not know the key does not ignore it.
func TestUnknownWithoutThePlugIn(t *testing.T) {
	d, err := document.Parse("support.yml", []byte(policy))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.Compile("", document.Options{}); err == nil || !strings.Contains(err.Error(), "no plug-in has the key x-redact") {
		t.Errorf("%v", err)
	}
}
