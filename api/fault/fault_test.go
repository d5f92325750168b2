package fault

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/policystore/document"
	"github.com/pyisolate/pyisolate/policystore/refresh"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// there is what a client gets of an error.
func there(t *testing.T, err error) (connect.Code, error) {
	t.Helper()
	answer, ok := Answer(err)
	if !ok {
		t.Errorf("%v has no row", err)
	}
	return answer.Code(), Answered(answer)
}

// Each target of each row is found again by a client, and no other kind's.
func TestTableBothWays(t *testing.T) {
	for _, r := range table {
		if r.kind == internal.kind {
			continue
		}
		for _, target := range r.targets {
			t.Run(r.kind+"/"+target.Error(), func(t *testing.T) {
				code, got := there(t, fmt.Errorf("tried this: %w", target))
				if code != r.code {
					t.Errorf("code %s, want %s", code, r.code)
				}
				for _, other := range table {
					for _, wanted := range other.targets {
						if match := errors.Is(got, wanted); match != (other.kind == r.kind) {
							t.Errorf("the client's error matches %s's %q: %t", other.kind, wanted, match)
						}
					}
				}
				if cell.KindOf(got).String() != r.kind && cell.KindOf(got) != cell.KindUnknown {
					t.Errorf("kind %s, want %s", cell.KindOf(got), r.kind)
				}
			})
		}
	}
}

// The table covers the vocabularies: a new word fails here until it has a row.
func TestTableIsWhole(t *testing.T) {
	for _, kind := range cell.Kinds() {
		if rowOf(kind).kind != kind.String() {
			t.Errorf("%s has no row", kind)
		}
	}
	for _, err := range []error{policystore.ErrNotFound, policystore.ErrConflict, policystore.ErrDenied, policystore.ErrInvalid,
		policystore.ErrLimited, policystore.ErrUnauthenticated, policystore.ErrCompacted, policystore.ErrNotLeader,
		policystore.ErrUncertain, policystore.ErrCorrupt, policystore.ErrClosed, policystore.ErrStale, &policystore.CorruptError{File: "f", What: "w"},
		refresh.ErrUnavailable, refresh.ErrRefused, refresh.ErrSource, refresh.ErrNotFound, refresh.ErrClosed,
		context.Canceled, context.DeadlineExceeded} {
		if rowOf(err).kind == internal.kind {
			t.Errorf("%q has no row", err)
		}
	}
	kinds := map[string]bool{}
	for _, r := range table {
		if kinds[r.kind] {
			t.Errorf("%s is there twice", r.kind)
		}
		kinds[r.kind] = true
	}
}

func TestGuestsErrorIsWhole(t *testing.T) {
	want := &cell.Error{Kind: cell.PolicyDenied, Message: "no", Type: "T", Traceback: "Traceback",
		Denial: &cell.Denial{Cell: "c", Capability: "open", Action: "read /x", Rule: "r", Kernel: "k", Broker: "b", At: time.Unix(5, 7).UTC()}}
	_, got := there(t, fmt.Errorf("exec: %w", want))
	var e *cell.Error
	if !errors.As(got, &e) {
		t.Fatalf("no cell.Error in %v", got)
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
}

func TestProblemsAndHint(t *testing.T) {
	want := document.Problems{{File: "p.yml", Line: 3, Column: 5, Message: "key inports is not known", Hint: "did you mean imports?", Source: "    inports: []"}}
	_, got := there(t, &Hinted{Err: fmt.Errorf("%w: %w", policystore.ErrInvalid, want), Hint: "mend it"})
	var problems document.Problems
	if !errors.As(got, &problems) || problems.Error() != want.Error() {
		t.Errorf("problems %v, want %v", problems, want)
	}
	var e *Error
	if !errors.As(got, &e) || e.Hint != "mend it" || !strings.Contains(e.Problems[0].GetText(), "inports: []") {
		t.Errorf("error %+v", e)
	}
}

// A message does not repeat its kind.
func TestMessageWithoutKind(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("%w: the newest is 1", policystore.ErrConflict), "Conflict: the newest is 1"},
		{fmt.Errorf("put p: %w: the newest is 1", policystore.ErrConflict), "Conflict: put p: the newest is 1"},
		{fmt.Errorf("get p: %w", policystore.ErrNotFound), "NotFound: get p: not found"},
		{fmt.Errorf("a conflict: %w: x", policystore.ErrConflict), "Conflict: a conflict: conflict: x"},
		{&cell.Error{Kind: cell.GuestError, Type: "E", Message: "oops"}, "GuestError: oops"},
	} {
		if _, got := there(t, c.err); got.Error() != c.want {
			t.Errorf("%v is shown as %q, want %q", c.err, got, c.want)
		}
	}
}

// The client of a node that fails hears nothing of its insides.
func TestInternalIsNotTold(t *testing.T) {
	answer, ok := Answer(errors.New("open /var/lib/pyisolate/x: secret"))
	if ok || answer.Code() != connect.CodeInternal || strings.Contains(answer.Error(), "secret") {
		t.Errorf("answer %v, %t", answer, ok)
	}
	if !errors.Is(Answered(answer), ErrInternal) {
		t.Errorf("client has %v", Answered(answer))
	}
}

func TestTextsAreBounded(t *testing.T) {
	long := strings.Repeat("é", maxText)
	d := Detail(&cell.Error{Kind: cell.GuestError, Message: long, Traceback: long + "end\xff"})
	if len(d.GetMessage()) > maxText || len(d.GetTraceback()) > maxText || !strings.HasSuffix(d.GetTraceback(), "end") {
		t.Errorf("lengths %d and %d", len(d.GetMessage()), len(d.GetTraceback()))
	}
}

// What comes without a detail is of package connect, or of no node.
func TestWithoutDetail(t *testing.T) {
	for code, want := range map[connect.Code]error{
		connect.CodeUnavailable: ErrUnavailable, connect.CodeDeadlineExceeded: cell.Timeout, connect.CodeCanceled: cell.Cancelled,
		connect.CodeInvalidArgument: cell.Invalid, connect.CodeResourceExhausted: cell.Invalid, connect.CodeDataLoss: ErrInternal,
	} {
		if got := Answered(connect.NewError(code, errors.New("text"))); !errors.Is(got, want) || !strings.Contains(got.Error(), "text") {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	if Answered(nil) != nil || FromDetail(nil) != nil {
		t.Error("nil is an error")
	}
}

// docs/serving.md lists the table as it is.
func TestDocumentedTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/serving.md")
	if err != nil {
		t.Fatal(err)
	}
	var documented, want []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1]+" "+m[2])
	}
	for _, r := range table {
		want = append(want, r.kind+" "+r.code.String())
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Error(diff)
	}
}
