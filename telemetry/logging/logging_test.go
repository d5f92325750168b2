package logging_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/policystore/token"
	"github.com/pyisolate/pyisolate/telemetry/logging"
	"github.com/pyisolate/pyisolate/telemetry/trace"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// logged is the one line that do writes in a format.
func logged(t *testing.T, format string, do func(*slog.Logger)) string {
	t.Helper()
	var b bytes.Buffer
	l, err := logging.New(&b, format, slog.LevelDebug)
	if err != nil {
		t.Fatal(err)
	}
	do(l)
	line := b.String()
	if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
		t.Errorf("%s: %q is not one line", format, line)
	}
	if format == logging.JSON && !json.Valid([]byte(line)) {
		t.Errorf("%q is not JSON", line)
	}
	for _, r := range strings.TrimSuffix(line, "\n") {
		if !unicode.IsPrint(r) {
			t.Errorf("%s: %q has %q", format, line, r)
		}
	}
	return line
}

type stringer string

func (s stringer) String() string { return string(s) }

type broken struct{}

func (broken) Error() string { panic("x") }

// Nobody forges a line, wherever his words are.
func TestForgedLines(t *testing.T) {
	evil := "x\nlevel=ERROR msg=forged\r\x1b[2J\x9b31m\u202e\u2028\u0085\xff\x00"
	for name, do := range map[string]func(*slog.Logger){
		"message":  func(l *slog.Logger) { l.Info(evil) },
		"value":    func(l *slog.Logger) { l.Info("m", "k", evil) },
		"name":     func(l *slog.Logger) { l.Info("m", evil, 1) },
		"error":    func(l *slog.Logger) { l.Info("m", "error", fmt.Errorf("open %s: %w", evil, io.EOF)) },
		"stringer": func(l *slog.Logger) { l.Info("m", "k", stringer(evil)) },
		"bytes":    func(l *slog.Logger) { l.Info("m", "k", []byte(evil)) },
		"struct":   func(l *slog.Logger) { l.Info("m", "k", struct{ A string }{evil}) },
		"list":     func(l *slog.Logger) { l.Info("m", "k", []string{evil}) },
		"map":      func(l *slog.Logger) { l.Info("m", "k", map[string]string{evil: evil}) },
		"group":    func(l *slog.Logger) { l.WithGroup(evil).Info("m", slog.Group("g", evil, evil)) },
		"with":     func(l *slog.Logger) { l.With("k", evil).Info("m") },
		"cell":     func(l *slog.Logger) { l.InfoContext(logging.With(context.Background(), evil, evil), "m") },
		"panics":   func(l *slog.Logger) { l.Info("m", "error", broken{}) },
		"nil":      func(l *slog.Logger) { l.Info("m", "error", nil) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{logging.Text, logging.JSON} {
				if line := logged(t, format, do); strings.Contains(line, "\nlevel=ERROR") {
					t.Errorf("%q", line)
				}
			}
		})
	}
}

// What is secret is not in the log, whatever it is called and however it is wrapped; what is
// not, is.
func TestSecrets(t *testing.T) {
	made := token.New()
	jwt := "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
	for name, c := range map[string]struct {
		do     func(*slog.Logger)
		secret string // must not be there
		stays  string // must be
	}{
		"a token by its shape":  {func(l *slog.Logger) { l.Info("got " + made.Reveal()) }, made.Reveal(), "got"},
		"a token's id":          {func(l *slog.Logger) { l.Info("m", "token_id", made.ID()) }, "\x00", made.ID()},
		"by its name":           {func(l *slog.Logger) { l.Info("m", "password", "hunter2") }, "hunter2", "password"},
		"by part of its name":   {func(l *slog.Logger) { l.Info("m", "api_key", "k-1", "n", 1) }, "k-1", "n"},
		"within a group":        {func(l *slog.Logger) { l.Info("m", slog.Group("g", "secret", "s-1")) }, "s-1", "g"},
		"a header":              {func(l *slog.Logger) { l.Info("m", "h", "Authorization: Bearer abcdef0123456789") }, "abcdef0123456789", "Bearer"},
		"headers":               {func(l *slog.Logger) { l.Info("m", "h", http.Header{"Authorization": {"Bearer abcdef0123456789"}}) }, "abcdef0123456789", "Authorization"},
		"a JSON web token":      {func(l *slog.Logger) { l.Info("m", "v", "of "+jwt) }, jwt, "of"},
		"in an error":           {func(l *slog.Logger) { l.Info("m", "error", errors.New("get https://ann:s3cret@example.com/x: no")) }, "s3cret", "example.com/x"},
		"in a query":            {func(l *slog.Logger) { l.Info("m", "url", "https://example.com/?a=1&token=t-123&b=2") }, "t-123", "b=2"},
		"in JSON":               {func(l *slog.Logger) { l.Info("m", "v", map[string]string{"client_secret": "s-123"}) }, "s-123", "client_secret"},
		"a private key":         {func(l *slog.Logger) { l.Info("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY----- end") }, "MHcC", "end"},
		"half a private key":    {func(l *slog.Logger) { l.Info("-----BEGIN PRIVATE KEY-----\nMHcC") }, "MHcC", "redacted"},
		"a join token":          {func(l *slog.Logger) { l.Info("m", "v", "pyjoin1_AIpcUT_KrKFd-01tv-H1Y2CzVB") }, "AIpcUT", "redacted"},
		"a cloud's key":         {func(l *slog.Logger) { l.Info("m", "v", "AKIAIOSFODNN7EXAMPLE") }, "AKIAIOSFODNN7EXAMPLE", "redacted"},
		"a forge's token":       {func(l *slog.Logger) { l.Info("m", "v", "ghp_0123456789abcdefghijABCDEFGHIJ") }, "ghp_0123", "redacted"},
		"camels":                {func(l *slog.Logger) { l.Info("m", "accessToken", "t-1", "dbPassword", "t-1", "APIKey", "t-1") }, "t-1", "dbPassword"},
		"a key":                 {func(l *slog.Logger) { l.Info("m", "key", "k-1") }, "k-1", "key"},
		"in a group of a token": {func(l *slog.Logger) { l.Info("m", slog.Group("token", "value", "t-1", "id", "7")) }, "t-1", "7"},
		"with a group":          {func(l *slog.Logger) { l.WithGroup("authToken").Info("m", "value", "t-1") }, "t-1", "authToken"},
		"lists of headers":      {func(l *slog.Logger) { l.Info("m", "h", map[string][]string{"X-Api-Key": {"a", "k-123"}}) }, "k-123", "X-Api-Key"},
		"an object in JSON":     {func(l *slog.Logger) { l.Info("m", "v", map[string]any{"token": map[string]int{"t-123": 1}, "n": 7}) }, "t-123", "7"},
		"JSON with escapes":     {func(l *slog.Logger) { l.Info("m", "v", map[string]string{"token": `a"t-123`}) }, "t-123", "token"},
		"in a message":          {func(l *slog.Logger) { l.Info("connect: password=hunter2 host=a") }, "hunter2", "host=a"},
		"in a message, spaced":  {func(l *slog.Logger) { l.Info("my dbPassword : hunter2, then") }, "hunter2", "then"},
		"in a message, quoted":  {func(l *slog.Logger) { l.Info(`secret="hunter 2" n=1`) }, "hunter", "n=1"},
		"half a quote":          {func(l *slog.Logger) { l.Info(`n=1 secret="hunter 2`) }, "hunter", "n=1"},
		"a cookie":              {func(l *slog.Logger) { l.Info("m", "h", "Set-Cookie: sid=1; other=abc123") }, "abc123", "Set-Cookie"},
		"names of other things": {func(l *slog.Logger) { l.Info("token_id=7: keyboard", "monkey", 4, "donkeyKeys", 5) }, "redacted", "keyboard"},
		"what only looks alike": {func(l *slog.Logger) { l.Info("tokens: 3", "tokenizer", "bert", "keys", 4) }, "redacted", "bert"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{logging.Text, logging.JSON} {
				line := logged(t, format, c.do)
				if strings.Contains(line, c.secret) || !strings.Contains(line, c.stays) {
					t.Errorf("%s: %s", format, line)
				}
			}
		})
	}
}

// Records name the cell and the trace of their context.
func TestContext(t *testing.T) {
	ctx := logging.With(t.Context(), "acme", "worker")
	ctx = trace.Within(ctx, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	line := logged(t, logging.JSON, func(l *slog.Logger) {
		l.With("n", 1).InfoContext(ctx, "m", "took", time.Second, "at", time.Unix(0, 0).UTC(), "ok", true)
	})
	for _, want := range []string{`"tenant":"acme"`, `"cell":"worker"`, `"trace":"0af7651916cd43dd8448eb211c80319c"`, `"n":1`, `"ok":true`, `"level":"INFO"`} {
		if !strings.Contains(line, want) {
			t.Errorf("%s without %s", line, want)
		}
	}
}

func TestLevelsAndFormats(t *testing.T) {
	var b bytes.Buffer
	level := new(slog.LevelVar)
	l, err := logging.New(&b, logging.Text, level)
	if err != nil {
		t.Fatal(err)
	}
	l.Debug("no")
	level.Set(slog.LevelDebug)
	l.Debug("yes")
	if got := b.String(); strings.Contains(got, "no") || !strings.Contains(got, "yes") {
		t.Errorf("log %q", got)
	}
	if _, err := logging.New(&b, "xml", level); err == nil || !strings.Contains(err.Error(), "write text or json") {
		t.Errorf("error %v", err)
	}
}

func FuzzLine(f *testing.F) {
	f.Add("m", "k", "v\x1b[0m pyi_abcdefghijklmnopqrstuvwxyz")
	f.Fuzz(func(t *testing.T, message, key, value string) {
		for _, format := range []string{logging.Text, logging.JSON} {
			logged(t, format, func(l *slog.Logger) { l.Info(message, key, value, "any", any(errors.New(value))) })
		}
		if c := logging.Clean(value); !utf8.ValidString(c) {
			t.Errorf("%q is not UTF-8", c)
		}
	})
}

func BenchmarkLog(b *testing.B) {
	for name, l := range map[string]*slog.Logger{
		"ours":  must(logging.New(io.Discard, logging.JSON, slog.LevelInfo)),
		"plain": slog.New(slog.NewJSONHandler(io.Discard, nil)),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Info("a request was refused", "tenant", "acme", "cell", "worker", "error", io.ErrUnexpectedEOF, "n", 3)
			}
		})
	}
}

func must(l *slog.Logger, err error) *slog.Logger {
	if err != nil {
		panic(err)
	}
	return l
}
