package measure

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pyisolate/pyisolate/kernel/guard"
	"github.com/pyisolate/pyisolate/kernel/internal/osthread"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// withCell calls f with a cell of a guard that is there meanwhile.
func withCell(kind guard.Kind, group string, p policy.Policy, f func(*guard.Guard, *guard.Cell) error) (err error) {
	g, err := loaded(kind, group)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close()) }()
	c, err := g.NewCell(p)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(g, c)
}

func bind(n int, group string) (Figures, error) {
	var figures Figures
	err := withCell(guard.Auto, group, policy.Policy{}, func(g *guard.Guard, c *guard.Cell) error {
		figures.By = "kind " + g.Kind().String()
		for range n {
			took, err := bindOther(c)
			if errors.Is(err, guard.ErrClaim) {
				return fmt.Errorf("%w: %w", ErrMissing, err)
			}
			if err != nil {
				return err
			}
			figures.Samples = append(figures.Samples, micros(took))
		}
		return nil
	})
	return figures, err
}

// bindOther binds a new thread, which does nothing and ends.
func bindOther(c *guard.Cell) (took time.Duration, err error) {
	tid, bound, ended := make(chan int), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- osthread.Run(func() error {
			tid <- unix.Gettid()
			<-bound
			return nil
		})
	}()
	other := <-tid
	begun := time.Now()
	err = c.Bind(other)
	took = time.Since(begun)
	close(bound)
	return took, errors.Join(err, <-ended)
}

// published is how many are measured at once: one takes less than a clock can tell.
const published = 100

func publish(n int, group string) (Figures, error) {
	var figures Figures
	err := withCell(guard.Auto, group, port(1), func(g *guard.Guard, c *guard.Cell) error {
		figures.By = "kind " + g.Kind().String()
		var rules [2]*guard.Rules
		for i := range rules {
			var err error
			if rules[i], err = g.Build(port(uint16(i+1)), nil); err != nil {
				return err
			}
			defer rules[i].Release()
		}
		for range n {
			begun := time.Now()
			for i := range published {
				if err := c.Publish(rules[i%2]); err != nil {
					return err
				}
			}
			figures.Samples = append(figures.Samples, micros(time.Since(begun))/published)
		}
		return nil
	})
	return figures, err
}

// port lets a cell connect to one port of this machine.
func port(n uint16) policy.Policy {
	return policy.Policy{Net: []policy.NetRule{{Prefix: netip.MustParsePrefix("127.0.0.1/32"), Ports: []policy.PortRange{{First: n, Last: n}}}}}
}
