package remote

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// Sizes of what is carried as it is.
const (
	traceBytes     = 1 << 10
	principalBytes = 1 << 10
	lifeBytes      = 256
)

// toWire encodes what is asked. The call, the session and the deadline are the link's affair.
func toWire(env actors.Envelope) (*envelope.CellEnvelope, error) {
	m := &envelope.CellEnvelope{
		Tenant: env.To.Tenant, Name: env.To.Name, Epoch: env.Epoch, Trace: env.Trace, Principal: env.Principal,
		Life: env.Life,
	}
	if env.ID != (actors.ID{}) {
		m.Id = env.ID[:]
	}
	if err := bodyToWire(m, env.Body); err != nil {
		return nil, err
	}
	return m, checkTexts(m)
}

func bodyToWire(m *envelope.CellEnvelope, body actors.Body) error {
	switch b := body.(type) {
	case actors.Exec:
		args := make([][]byte, len(b.Source.Args))
		for i, a := range b.Source.Args {
			args[i] = []byte(a)
		}
		m.Body = &envelope.CellEnvelope_Exec{Exec: &envelope.Exec{Code: b.Source.Code, File: []byte(b.Source.File), Dialect: string(b.Source.Dialect), Args: args, Stdin: b.Source.Stdin}}
	case actors.Call:
		m.Body = &envelope.CellEnvelope_Invoke{Invoke: &envelope.Call{Target: []byte(b.Invocation.Target), Args: b.Invocation.Args, Kwargs: b.Invocation.Kwargs, Raw: b.Invocation.Raw}}
	case actors.Post:
		m.Body = &envelope.CellEnvelope_Post{Post: valueToWire(b.Value)}
	case actors.Recv:
		m.Body = &envelope.CellEnvelope_Recv{Recv: &envelope.Recv{Max: uint32(max(0, min(b.Max, recvItems))), AtOnce: b.AtOnce}}
	case actors.Inspect:
		m.Body = &envelope.CellEnvelope_Inspect{Inspect: &envelope.Inspect{}}
	case actors.Reload:
		data, err := json.Marshal(b.Revision)
		if err != nil {
			return cell.Errorf(cell.Invalid, "encode a revision: %v", err)
		}
		m.Body = &envelope.CellEnvelope_Reload{Reload: data}
	case actors.Quarantine:
		m.Body = &envelope.CellEnvelope_Quarantine{Quarantine: b.Reason}
	case actors.Kill:
		m.Body = &envelope.CellEnvelope_Kill{Kill: b.Reason}
	case actors.Close:
		m.Body = &envelope.CellEnvelope_Close{Close: &envelope.Close{}}
	default:
		return cell.Errorf(cell.Invalid, "a body of type %T cannot be sent to another node", body)
	}
	return nil
}

// recvItems is how many items an answer has at the most.
const recvItems = 1 << 16

// checkTexts: what is not UTF-8 cannot be encoded, and protoactor would only log that.
func checkTexts(m *envelope.CellEnvelope) error {
	for _, f := range []struct{ field, text string }{
		{"tenant", m.Tenant}, {"name", m.Name}, {"trace", m.Trace}, {"principal", m.Principal}, {"life", m.Life},
		{"dialect", m.GetExec().GetDialect()}, {"reason", m.GetQuarantine() + m.GetKill()}, {"topic", m.GetPublish().GetTopic()},
	} {
		if !utf8.ValidString(f.text) {
			return cell.Errorf(cell.Invalid, "the %s is not UTF-8", f.field)
		}
	}
	switch {
	case len(m.Trace) > traceBytes:
		return cell.Errorf(cell.Invalid, "the trace context has %d bytes; %d is the most", len(m.Trace), traceBytes)
	case len(m.Principal) > principalBytes:
		return cell.Errorf(cell.Invalid, "the principal has %d bytes; %d is the most", len(m.Principal), principalBytes)
	case len(m.Life) > lifeBytes:
		return cell.Errorf(cell.Invalid, "the life has %d bytes; %d is the most", len(m.Life), lifeBytes)
	}
	return nil
}

// fromWire decodes what another node asks of a cell; now is when it came.
func fromWire(m *envelope.CellEnvelope, now time.Time) (env actors.Envelope, err error) {
	env = actors.Envelope{To: actors.Address{Tenant: m.Tenant, Name: m.Name}, Life: m.Life, Epoch: m.Epoch, Trace: m.Trace, Principal: m.Principal, Deadline: deadline(m, now)}
	if err := cell.ValidName("tenant", m.Tenant); err != nil {
		return env, err
	}
	if err := cell.ValidName("cell", m.Name); err != nil {
		return env, err
	}
	if env.ID, err = idFromWire(m.Id); err != nil {
		return env, err
	}
	if err := checkTexts(m); err != nil {
		return env, err
	}
	env.Body, err = bodyFromWire(m)
	return env, err
}

func idFromWire(b []byte) (id actors.ID, err error) {
	switch len(b) {
	case 0:
		return id, nil
	case len(id):
		return actors.ID(b), nil
	}
	return id, cell.Errorf(cell.Invalid, "an id of %d bytes; it has %d", len(b), len(id))
}

// deadline is the zero time when there is none.
func deadline(m *envelope.CellEnvelope, now time.Time) time.Time {
	if m.Deadline <= 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(m.Deadline))
}

func bodyFromWire(m *envelope.CellEnvelope) (actors.Body, error) {
	switch b := m.Body.(type) {
	case *envelope.CellEnvelope_Exec:
		e := b.Exec
		args := make([]string, len(e.GetArgs()))
		for i, a := range e.GetArgs() {
			args[i] = string(a)
		}
		return actors.Exec{Source: cell.Source{Code: e.GetCode(), File: string(e.GetFile()), Dialect: cell.Dialect(e.GetDialect()), Args: args, Stdin: e.GetStdin()}}, nil
	case *envelope.CellEnvelope_Invoke:
		i := b.Invoke
		return actors.Call{Invocation: cell.Invocation{Target: string(i.GetTarget()), Args: i.GetArgs(), Kwargs: i.GetKwargs(), Raw: i.Raw}}, nil
	case *envelope.CellEnvelope_Post:
		v, err := valueFromWire(b.Post)
		return actors.Post{Value: v}, err
	case *envelope.CellEnvelope_Recv:
		return actors.Recv{Max: int(min(b.Recv.GetMax(), recvItems)), AtOnce: b.Recv.GetAtOnce()}, nil
	case *envelope.CellEnvelope_Inspect:
		return actors.Inspect{}, nil
	case *envelope.CellEnvelope_Reload:
		var revision cell.Revision
		if err := json.Unmarshal(b.Reload, &revision); err != nil {
			return nil, cell.Errorf(cell.Invalid, "decode a revision: %v", err)
		}
		return actors.Reload{Revision: revision}, nil
	case *envelope.CellEnvelope_Quarantine:
		return actors.Quarantine{Reason: b.Quarantine}, nil
	case *envelope.CellEnvelope_Kill:
		return actors.Kill{Reason: b.Kill}, nil
	case *envelope.CellEnvelope_Close:
		return actors.Close{}, nil
	}
	return nil, cell.Errorf(cell.Invalid, "this node does not know what is asked; it may be older than the one that asks")
}

func valueToWire(v cell.Value) *envelope.Value {
	return &envelope.Value{Type: uint32(v.Type), Data: v.Data}
}

func valueFromWire(v *envelope.Value) (cell.Value, error) {
	switch t := v.GetType(); t {
	case uint32(cell.JSON), uint32(cell.Bytes):
		return cell.Value{Type: cell.ContentType(t), Data: v.GetData()}, nil
	default:
		return cell.Value{}, cell.Errorf(cell.Invalid, "content type %d is not known", t)
	}
}
