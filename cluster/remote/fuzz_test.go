package remote

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/asynkron/protoactor-go/remote"
	"google.golang.org/protobuf/proto"

	"github.com/pyisolate/pyisolate/actors"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/cluster/remote/internal/envelope"
)

// FuzzBatch: whatever is let in, protoactor can look up as it does, without a panic.
func FuzzBatch(f *testing.F) {
	for _, m := range []*remote.MessageBatch{
		message(envelopeType, target, &envelope.CellEnvelope{}),
		message("actor.Stop", target, &envelope.CellEnvelope{}),
		{Envelopes: []*remote.MessageEnvelope{{TypeId: 99, Target: 7, Sender: 42}}},
	} {
		data, err := proto.Marshal(batchOf(m))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m remote.RemoteMessage
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		b := m.GetMessageBatch()
		if checkBatch(b) != nil {
			return
		}
		for _, e := range b.Envelopes {
			if !allowed[b.TypeNames[e.TypeId]] || b.Targets[e.Target] != target || e.Sender != 0 {
				t.Errorf("let in: %v", e)
			}
			_, _ = remote.Deserialize(e.MessageData, b.TypeNames[e.TypeId], e.SerializerId)
		}
	})
}

// FuzzEnvelope: what is decoded is what a cell may be asked, and is encoded to the same again.
func FuzzEnvelope(f *testing.F) {
	for _, env := range envelopes() {
		m, err := toWire(env)
		if err != nil {
			f.Fatal(err)
		}
		data, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	empty, err := proto.Marshal(&envelope.CellEnvelope{Tenant: "t", Name: "n", Body: &envelope.CellEnvelope_Reload{Reload: []byte(`{"Policy":{"files":[]},"Imports":[]}`)}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(empty)
	now := time.Now()
	f.Fuzz(func(t *testing.T, data []byte) {
		var m envelope.CellEnvelope
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		_ = sizeOf(&m)
		env, err := fromWire(&m, now)
		if err != nil {
			if cell.KindOf(err) != cell.Invalid {
				t.Errorf("it is not said to be invalid: %v", err)
			}
			return
		}
		once, err := toWire(env)
		if err != nil {
			t.Fatalf("it cannot be encoded: %v", err)
		}
		if env, err = fromWire(once, now); err != nil {
			t.Fatalf("it cannot be decoded again: %v", err)
		}
		if twice, err := toWire(env); err != nil || !proto.Equal(once, twice) {
			t.Errorf("%v is then %v, %v", once, twice, err)
		}
	})
}

// FuzzReply: whatever a node answers can be given to who asked.
func FuzzReply(f *testing.F) {
	for _, r := range []*envelope.CellReply{
		{Error: &envelope.Error{Kind: 99, Denial: []byte("{}")}},
		{Error: &envelope.Error{Kind: 10, Moved: true}},
		{Value: &envelope.Value{Type: 1, Data: []byte("x")}, Items: []*envelope.Item{{Error: &envelope.Error{Kind: 3}}, {}}},
		{Report: []byte(`{"id":"x"}`), Reloaded: []byte(`{"layers":[]}`), Published: &envelope.Published{Refused: []*envelope.Refusal{{}}}},
	} {
		data, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m envelope.CellReply
		if proto.Unmarshal(data, &m) != nil {
			return
		}
		r := fromReply(&m)
		if (r.Err == nil) && m.Error != nil {
			t.Error("the error is lost")
		}
		if again := fromReply(toReply(nil, r)); (again.Err == nil) != (r.Err == nil) || errors.Is(again.Err, actors.ErrMoved) != errors.Is(r.Err, actors.ErrMoved) {
			t.Errorf("%v is then %v", r.Err, again.Err)
		}
		published(&m)
	})
}

// envelopes of every kind.
func envelopes() map[string]actors.Envelope {
	bodies := map[string]actors.Body{
		"exec":       actors.Exec{Source: cell.Source{Code: []byte("x"), File: "f\xff", Dialect: cell.Restricted, Args: []string{"a", "\xff"}, Stdin: true}},
		"call":       actors.Call{Invocation: cell.Invocation{Target: "\xff", Args: []byte("[]"), Kwargs: []byte("{}")}},
		"call raw":   actors.Call{Invocation: cell.Invocation{Target: "f", Raw: []byte{}}},
		"send":       actors.Post{Value: cell.BytesValue([]byte("\xff"))},
		"recv":       actors.Recv{Max: 3, AtOnce: true},
		"inspect":    actors.Inspect{},
		"reload":     actors.Reload{Revision: cell.Revision{Imports: []string{"json"}, Limits: &cell.Limits{Memory: 1 << 20}}},
		"quarantine": actors.Quarantine{Reason: "a"},
		"kill":       actors.Kill{Reason: "b"},
		"close":      actors.Close{},
	}
	all := map[string]actors.Envelope{}
	for name, b := range bodies {
		all[name] = actors.Envelope{ID: actors.NewID(), To: at("x"), Life: "life", Epoch: 3, Trace: "trace", Principal: "me", Body: b}
	}
	return all
}

func TestEnvelope(t *testing.T) {
	for name, env := range envelopes() {
		t.Run(name, func(t *testing.T) {
			m, err := toWire(env)
			if err != nil {
				t.Fatal(err)
			}
			data, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			var got envelope.CellEnvelope
			if err := proto.Unmarshal(data, &got); err != nil {
				t.Fatal(err)
			}
			if back, err := fromWire(&got, time.Now()); err != nil || !reflect.DeepEqual(back, env) {
				t.Errorf("%+v, %v", back, err)
			}
		})
	}
}

// TestNotAnEnvelope: what a node of good faith would not send is answered as invalid.
func TestNotAnEnvelope(t *testing.T) {
	ok := envelope.CellEnvelope{Tenant: "acme", Name: "x", Body: &envelope.CellEnvelope_Close{}}
	if _, err := fromWire(&ok, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*envelope.CellEnvelope){
		"tenant":       func(m *envelope.CellEnvelope) { m.Tenant = "../x" },
		"name":         func(m *envelope.CellEnvelope) { m.Name = "" },
		"id":           func(m *envelope.CellEnvelope) { m.Id = []byte("short") },
		"trace":        func(m *envelope.CellEnvelope) { m.Trace = string(make([]byte, traceBytes+1)) },
		"principal":    func(m *envelope.CellEnvelope) { m.Principal = string(make([]byte, principalBytes+1)) },
		"no body":      func(m *envelope.CellEnvelope) { m.Body = nil },
		"a publish":    func(m *envelope.CellEnvelope) { m.Body = &envelope.CellEnvelope_Publish{} },
		"content type": func(m *envelope.CellEnvelope) { m.Body = &envelope.CellEnvelope_Post{Post: &envelope.Value{Type: 2}} },
		"revision":     func(m *envelope.CellEnvelope) { m.Body = &envelope.CellEnvelope_Reload{Reload: []byte("{")} },
	} {
		t.Run(name, func(t *testing.T) {
			m := proto.CloneOf(&ok)
			change(m)
			if _, err := fromWire(m, time.Now()); cell.KindOf(err) != cell.Invalid {
				t.Error(err)
			}
		})
	}
}

// TestPart: a batch is sent in parts that a peer takes, in their order, and none is left out.
func TestPart(t *testing.T) {
	sized := func(sizes ...int) (all []*remote.MessageEnvelope) {
		for _, n := range sizes {
			all = append(all, &remote.MessageEnvelope{MessageData: make([]byte, n)})
		}
		return all
	}
	for name, c := range map[string]struct {
		all      []*remote.MessageEnvelope
		n, bytes int
	}{
		"all":           {sized(1, 2, 3), 3, 6},
		"just all":      {sized(batchBytes-1, 1), 2, batchBytes},
		"some":          {sized(batchBytes, 1), 1, batchBytes},
		"one too large": {sized(10*batchBytes, 1), 1, 10 * batchBytes},
		"empty ones":    {sized(0, 0), 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if n, bytes := part(c.all); n != c.n || bytes != c.bytes {
				t.Errorf("%d with %d bytes", n, bytes)
			}
		})
	}
}
