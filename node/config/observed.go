package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"

	"github.com/pyisolate/pyisolate/telemetry/webhook"
)

// setHeaders tells nothing of what is wrong: where a value was cut up, half of a secret is in a name's place.
func setHeaders(l *Loaded, values []string) error {
	l.Node.TraceHeaders = map[string]string{}
	for _, v := range values {
		name, value, found := strings.Cut(v, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		switch {
		case !found || name == "":
			return errors.New("one has no name: write NAME=VALUE")
		case strings.ContainsFunc(name, notInName):
			return errors.New("one has a name that no header can have: write NAME=VALUE")
		case value == "" || strings.ContainsFunc(value, unicode.IsControl):
			return errors.New("one has a value that no header can have: write NAME=VALUE")
		}
		for other := range l.Node.TraceHeaders {
			if strings.EqualFold(other, name) {
				return errors.New("one is given twice")
			}
		}
		l.Node.TraceHeaders[name] = value
	}
	return nil
}

// notInName: a header's name is a token of HTTP (RFC 9110, 5.6.2).
func notInName(r rune) bool {
	alphanumeric := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
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

func setRatio(l *Loaded, values []string) error {
	ratio, err := strconv.ParseFloat(values[0], 64)
	if err != nil || !(ratio > 0 && ratio <= 1) {
		return fmt.Errorf("%q is not above 0 and at most 1: write 0.1 to keep every tenth", values[0])
	}
	l.Node.TraceRatio = ratio
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
