package guard

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf/ringbuf"
)

// ReadEvents calls f with each event until ctx ends, which is no error; it does not return
// while f runs. One reader at a time: events go to one of several. A cell has 100 events
// of refusals in a second, of all that passes a quota one each; what is more, or finds the
// reader behind by more than 5,000, is in [Usage.Lost]. That a quota is used up is told again
// until there was room for it.
//
// ReadEvents owns a goroutine that ends with it.
func (g *Guard) ReadEvents(ctx context.Context, f func(Event)) error {
	r, err := ringbuf.NewReader(g.maps["events"])
	if err != nil {
		return fmt.Errorf("guard: read events: %w", err)
	}
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = r.Close() // it interrupts the reading
		close(ended)
	})
	defer func() {
		if stop() {
			_ = r.Close()
		} else {
			<-ended
		}
	}()
	var record ringbuf.Record
	for {
		switch err := r.ReadInto(&record); {
		case errors.Is(err, os.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("guard: read events: %w", err)
		}
		e, err := decode(record.RawSample)
		if err != nil {
			return err // the programs and we are of different builds
		}
		f(e)
	}
}
