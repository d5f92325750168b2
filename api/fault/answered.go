package fault

import (
	"errors"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// Error is a failure that a node answered. It matches what the node's own error matched.
type Error struct {
	// Kind is the word of the vocabulary.
	Kind string
	// Message says what was tried on what; Hint what to do, and may be "".
	Message, Hint string
	// Problems of a document; nil without any. Texts are as the node printed them.
	Problems []*pb.Problem

	matches []error
}

func (e *Error) Error() string {
	text := e.Kind + ": " + e.Message
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap gives the sentinels of the kind, a *cell.Error when cells know the word, and the
// problems.
func (e *Error) Unwrap() []error { return e.matches }

// Answered is the error of a call as the node had it; nil for nil. What came from no node
// (nobody listens, say) is ErrUnavailable or what its code means.
func Answered(err error) error {
	var sent *connect.Error
	if err == nil || !errors.As(err, &sent) {
		return err
	}
	for _, detail := range sent.Details() {
		value, err := detail.Value()
		if d, ok := value.(*pb.ErrorDetail); ok && err == nil {
			return FromDetail(d)
		}
	}
	return withoutDetail(sent)
}

// FromDetail is a failure that a node told in a message; nil for nil.
func FromDetail(d *pb.ErrorDetail) error {
	if d == nil {
		return nil
	}
	r := rowNamed(d.GetKind())
	e := &Error{Kind: d.GetKind(), Message: d.GetMessage(), Hint: d.GetHint(), Problems: d.GetProblems()}
	for _, target := range r.targets {
		if kind, ok := target.(cell.Kind); ok { //nolint:errorlint // the table's own values, never wrapped
			target = &cell.Error{Kind: kind, Message: d.GetMessage(), Type: d.GetType(), Traceback: d.GetTraceback(),
				Denial: ToDenial(d.GetDenial())}
		}
		e.matches = append(e.matches, target)
	}
	if len(e.Problems) > 0 {
		e.matches = append(e.matches, problems(e.Problems))
	}
	return e
}

func problems(sent []*pb.Problem) document.Problems {
	list := make(document.Problems, len(sent))
	for i, p := range sent {
		list[i] = &document.Problem{File: p.GetFile(), Line: int(p.GetLine()), Column: int(p.GetColumn()),
			Message: p.GetMessage(), Hint: p.GetHint(), Source: p.GetSource()}
	}
	return list
}

// ToDenial returns nil for nil.
func ToDenial(d *pb.Denial) *cell.Denial {
	if d == nil {
		return nil
	}
	return &cell.Denial{Cell: d.GetCell(), Capability: d.GetCapability(), Action: d.GetAction(), Rule: d.GetRule(),
		Kernel: d.GetKernel(), Broker: d.GetBroker(), At: d.GetAt().AsTime()}
}

// withoutDetail is an error that package connect made itself, here or there.
func withoutDetail(sent *connect.Error) error {
	kind := map[connect.Code]string{
		connect.CodeCanceled: cell.Cancelled.String(), connect.CodeDeadlineExceeded: cell.Timeout.String(),
		connect.CodeInvalidArgument: cell.Invalid.String(), connect.CodeResourceExhausted: cell.Invalid.String(),
		connect.CodeUnimplemented: "Unimplemented", connect.CodeUnavailable: "Unavailable",
	}[sent.Code()]
	return FromDetail(&pb.ErrorDetail{Kind: kind, Message: sent.Message()})
}
