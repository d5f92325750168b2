package fault

import (
	"errors"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// maxText bounds each text of a detail: some clients take no more in a trailer.
const maxText = 16 << 10

// Hinted is an error that says what to do about it.
type Hinted struct {
	Err  error
	Hint string
}

func (h *Hinted) Error() string { return h.Err.Error() }

// Unwrap returns what the hint is about.
func (h *Hinted) Unwrap() error { return h.Err }

// Answer is err as a call's answer; nil for nil. It says ok false of an error without a row,
// which the client is not told more about: log it.
func Answer(err error) (answer *connect.Error, ok bool) {
	var sent *connect.Error
	switch {
	case err == nil:
		return nil, true
	case errors.As(err, &sent): // by package connect itself: a message that is too large, say
		return sent, true
	}
	d := Detail(err)
	answer = connect.NewError(rowNamed(d.GetKind()).code, errors.New(d.GetMessage()))
	if detail, err := connect.NewErrorDetail(d); err == nil {
		answer.AddDetail(detail)
	}
	return answer, d.GetKind() != internal.kind
}

// Detail is err as a message; nil for nil.
func Detail(err error) *pb.ErrorDetail {
	if err == nil {
		return nil
	}
	r := rowOf(err)
	if r.kind == internal.kind {
		return &pb.ErrorDetail{Kind: r.kind, Message: ErrInternal.Error()}
	}
	d := &pb.ErrorDetail{Kind: r.kind, Message: head(r.without(err.Error()))}
	var hinted *Hinted
	if errors.As(err, &hinted) {
		d.Hint = head(hinted.Hint)
	}
	var problems document.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			d.Problems = append(d.Problems, &pb.Problem{File: p.File, Line: uint32(p.Line), Column: uint32(p.Column),
				Message: p.Message, Hint: p.Hint, Source: p.Source, Text: p.Text()})
		}
	}
	var e *cell.Error
	if errors.As(err, &e) {
		d.Message, d.Type, d.Traceback = head(e.Message), head(e.Type), tail(e.Traceback)
		d.Denial = FromDenial(e.Denial)
	}
	return d
}

// without is a message that does not say again what the kind says.
func (r row) without(message string) string {
	for _, target := range r.targets {
		said := target.Error() + ": "
		if at := strings.Index(message, said); at == 0 || at > 0 && strings.HasSuffix(message[:at], ": ") {
			return message[:at] + message[at+len(said):]
		}
	}
	return message
}

// FromDenial returns nil for nil.
func FromDenial(d *cell.Denial) *pb.Denial {
	if d == nil {
		return nil
	}
	return &pb.Denial{Cell: head(d.Cell), Capability: head(d.Capability), Action: head(d.Action), Rule: head(d.Rule),
		Kernel: head(d.Kernel), Broker: head(d.Broker), At: timestamppb.New(d.At)}
}

// head makes text valid for a message and not too long.
func head(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxText)], "") }

// tail keeps the end: of a traceback, the part that names the error.
func tail(s string) string { return strings.ToValidUTF8(s[max(0, len(s)-maxText):], "") }
