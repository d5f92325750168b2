package fetch

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
)

var errIdle = errors.New("no progress")

// watch ends a context when nothing has moved for a while.
type watch struct {
	timer  *time.Timer
	idle   time.Duration
	cancel context.CancelCauseFunc
}

func newWatch(ctx context.Context, idle time.Duration) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, &watch{timer: time.AfterFunc(idle, func() { cancel(errIdle) }), idle: idle, cancel: cancel}
}

func (w *watch) moved() { w.timer.Reset(w.idle) }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// moving tells the watch of each read that brought something.
type moving struct {
	io.Reader
	*watch
}

func (m moving) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.moved()
	}
	return n, err
}

// read returns the body, decompressed, and not a byte more than the limit: what the
// server compressed counts by what it becomes.
func (x *exchange) read(resp *http.Response, w *watch) ([]byte, error) {
	w.moved()
	limit := int64(x.call.MaxAnswer)
	if x.maxBody > 0 {
		limit = min(limit, int64(x.maxBody))
	}
	tooLarge := capability.Errorf(capability.TooLarge, "the body from %s has more than %d bytes", x.to, limit)
	if resp.ContentLength > limit && resp.Request.Method != http.MethodHead {
		return nil, tooLarge
	}
	// Compressing what cannot be compressed makes it a little longer.
	in := io.LimitReader(moving{resp.Body, w}, limit+limit/1000+1024)
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") && resp.Request.Method != http.MethodHead {
		z, err := gzip.NewReader(in)
		if errors.Is(err, io.EOF) { // nothing at all, which is fine with 204 and 304
			return nil, nil
		}
		if err != nil {
			return nil, badGzip(x.to, err)
		}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		in = io.LimitReader(z, limit+1)
	}
	body, err := io.ReadAll(in)
	if int64(len(body)) > limit {
		return nil, tooLarge
	}
	if errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) {
		err = badGzip(x.to, err)
	}
	return body, err
}

func badGzip(t target, err error) error {
	return capability.Errorf(capability.Failed, "the body from %s is not gzip, as it says: %w", t, err)
}
