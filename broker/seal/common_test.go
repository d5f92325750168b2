package seal_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/broker/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// launchSecret is the one of the vectors, and of every test but for wrong ones.
func launchSecret() []byte { return count(0x01, seal.SecretSize) }

func config(t testing.TB, suites ...seal.Suite) seal.Config {
	t.Helper()
	return seal.Config{Secret: must(seal.NewSecret(launchSecret()))(t), Suites: suites}
}

// must is for results that the test takes for granted.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// sessions returns the two ends of a new session.
func sessions(t testing.TB, suites ...seal.Suite) (node, host *seal.Session) {
	t.Helper()
	return sessionsOf(t, config(t, suites...), config(t, suites...))
}

func sessionsOf(t testing.TB, nodeConfig, hostConfig seal.Config) (node, host *seal.Session) {
	t.Helper()
	in, hello, err := seal.NewInitiator(nodeConfig)
	if err != nil {
		t.Fatal(err)
	}
	r := must(seal.NewResponder(hostConfig))(t)
	answer := must(r.Answer(hello))(t)
	confirm, node, err := in.Finish(answer)
	if err != nil {
		t.Fatal(err)
	}
	return node, must(r.Finish(confirm))(t)
}

// wantKind fails the test unless err is of the one kind that want is.
func wantKind(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	if err.Error() == want.Error() {
		t.Fatalf("%v does not say which check failed", err)
	}
}
