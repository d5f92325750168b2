package enroll

import (
	"context"
	"log/slog"
	"time"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

const (
	// look is how often the time is looked at: clocks are set, and machines sleep.
	look = time.Minute
	// soon and late are the pauses after renewals that fail, from the first on.
	soon, late = 10 * time.Second, 10 * time.Minute
)

// Sign has the authority sign a request for the name of this node, and gives the certificate.
type Sign func(ctx context.Context, request []byte) ([]byte, error)

// Keep renews a certificate whenever it is due, until ctx ends. What fails is tried again, and
// logged: as an error when the certificate has expired, which takes another token to mend.
func Keep(ctx context.Context, id *pki.Identity, sign Sign, l *slog.Logger) {
	keep(ctx, id, sign, l, time.After)
}

func keep(ctx context.Context, id *pki.Identity, sign Sign, l *slog.Logger, after func(time.Duration) <-chan time.Time) {
	pause := soon
	for {
		wait := min(max(time.Until(id.RenewAt()), 0), look)
		if wait == 0 {
			if err := id.Renew(ctx, sign); err != nil {
				tell(ctx, l, id, err)
				wait, pause = pause, min(2*pause, late)
			} else {
				l.Info("the node's certificate is renewed", "until", id.NotAfter())
				pause = soon
			}
		}
		select {
		case <-after(wait):
		case <-ctx.Done():
			return
		}
	}
}

func tell(ctx context.Context, l *slog.Logger, id *pki.Identity, err error) {
	if ctx.Err() != nil {
		return
	}
	if time.Now().After(id.NotAfter()) {
		l.Error("the node's certificate has expired; join again with a new token", "error", err)
		return
	}
	l.Warn("the node's certificate is not renewed yet", "until", id.NotAfter(), "error", err)
}
