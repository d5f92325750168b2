package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

func trySpawn(ctx context.Context, s *scene) (string, error) {
	begin := time.Now()
	c, err := s.exec(ctx, cell.Spec{}, "post(6 * 7)")
	if err == nil {
		err = expect(ctx, c, "42")
	}
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	return fmt.Sprintf("a cell in host process %d ran a program %s after it was asked for", r.HostPID, since(begin)), err
}

func tryCall(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{}, "def double(x): return 2 * x")
	if err != nil {
		return "", err
	}
	v, err := c.Call(ctx, cell.Invocation{Target: "double", Args: []byte(`[21]`)})
	if err == nil && v.String() != "42" {
		err = fmt.Errorf("double(21) is %s", v)
	}
	return "double(21) is " + v.String(), err
}

func tryPost(ctx context.Context, s *scene) (string, error) {
	c, err := s.exec(ctx, cell.Spec{}, "for n in range(100): post(n)")
	for n := range 100 {
		if err == nil {
			err = expect(ctx, c, fmt.Sprint(n))
		}
	}
	return "100 values came in their order", err
}

func tryRecv(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{})
	if err != nil {
		return "", err
	}
	if err := c.Send(ctx, cell.BytesValue([]byte("in"))); err != nil {
		return "", err
	}
	if err := c.Exec(ctx, source("post(len(recv()))")); err != nil {
		return "", err
	}
	return "the guest received the bytes that were sent", expect(ctx, c, "2")
}

func tryLog(ctx context.Context, s *scene) (string, error) {
	heard := &sink{}
	if _, err := s.exec(ctx, cell.Spec{Sink: heard}, "log('info', 'hello', n=1)"); err != nil {
		return "", err
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if len(heard.logs) != 1 || heard.logs[0].Level != "info" || heard.logs[0].Message != "hello" || string(heard.logs[0].Fields) != `{"n":1}` {
		return "", fmt.Errorf("the log is %+v", heard.logs)
	}
	return `info: hello {"n":1}`, nil
}

func tryMetric(ctx context.Context, s *scene) (string, error) {
	heard := &sink{}
	if _, err := s.exec(ctx, cell.Spec{Sink: heard}, "metric('rows', 2.5, table='t')"); err != nil {
		return "", err
	}
	heard.mu.Lock()
	defer heard.mu.Unlock()
	if len(heard.samples) != 1 || heard.samples[0].Name != "rows" || heard.samples[0].Value != 2.5 || heard.samples[0].Tags["table"] != "t" {
		return "", fmt.Errorf("the metrics are %+v", heard.samples)
	}
	return "rows=2.5 table=t", nil
}

func tryRequest(ctx context.Context, s *scene) (string, error) {
	return denied(ctx, s, "request('fs.read', 'read', '/etc/passwd')")
}

func tryImport(ctx context.Context, s *scene) (string, error) { return denied(ctx, s, "import socket") }

// denied runs what must be refused, with evidence, and leave the cell as it is.
func denied(ctx context.Context, s *scene, text string) (string, error) {
	heard := &sink{}
	c, err := s.spawn(ctx, cell.Spec{Sink: heard, Imports: []string{"math"}})
	if err != nil {
		return "", err
	}
	answer, err := refusal(c.Exec(ctx, source(text)), cell.PolicyDenied)
	if err != nil {
		return "", err
	}
	evidence, err := heard.evidence()
	if err != nil {
		return "", err
	}
	return answer + "; " + evidence, answers(ctx, c)
}
