package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

func setHeaders(l *Loaded, values []string) error {
	l.Node.TraceHeaders = map[string]string{}
	for _, v := range values {
		name, value, found := strings.Cut(v, "=")
		if name = strings.TrimSpace(name); !found || name == "" {
			return fmt.Errorf("one has no name: write NAME=VALUE")
		}
		l.Node.TraceHeaders[name] = value
	}
	return nil
}

func headers(l *Loaded) (out []string) {
	for _, name := range slices.Sorted(maps.Keys(l.Node.TraceHeaders)) {
		out = append(out, name+"="+l.Node.TraceHeaders[name])
	}
	return out
}

// headerName is what may be shown of a header.
func headerName(header string) string {
	name, _, _ := strings.Cut(header, "=")
	return name + "=(hidden)"
}

func setRatio(l *Loaded, values []string) (err error) {
	l.Node.TraceRatio, err = strconv.ParseFloat(values[0], 64)
	if err != nil || !(l.Node.TraceRatio > 0 && l.Node.TraceRatio <= 1) {
		return fmt.Errorf("%q is not above 0 and at most 1: write 0.1 to keep every tenth", values[0])
	}
	return nil
}

func setWebhooks(l *Loaded, values []string) error {
	l.webhooks = values[0]
	if err := trusted(l.webhooks); err != nil {
		return err
	}
	f, err := os.Open(l.webhooks)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil {
		l.Node.Webhooks, err = parseWebhooks(text)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", l.webhooks, err)
	}
	return nil
}

// parseWebhooks reads a list of hooks, in YAML or JSON.
func parseWebhooks(text []byte) (hooks []webhook.Hook, err error) {
	defer func() {
		if p := recover(); p != nil { // no text may end a program
			err = fmt.Errorf("the YAML parser failed: %v", p)
		}
	}()
	if len(text) > maxFile {
		return nil, fmt.Errorf("it has more than %d bytes", maxFile)
	}
	plain, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("this is not YAML: %s", yaml.FormatError(err, false, false))
	}
	d := json.NewDecoder(bytes.NewReader(plain))
	d.DisallowUnknownFields()
	if err := d.Decode(&hooks); err != nil {
		return nil, fmt.Errorf("write a list, each with url, and name, kinds, tenant, secret_file, inner where they are needed: %w", err)
	}
	return hooks, nil
}
