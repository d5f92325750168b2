package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
)

func tryKill(ctx context.Context, s *scene) (string, error) {
	c, ended, err := s.running(ctx, cell.Spec{}, stubborn)
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	if err != nil {
		return "", err
	}
	begin := time.Now()
	c.Kill("conformance")
	answer, err := refusal(<-ended, cell.CellGone)
	if err != nil {
		return "", err
	}
	// The caller is answered at once; the guest's thread takes a moment.
	limit, cancel := context.WithTimeout(ctx, late)
	defer cancel()
	err = whenNoneRuns(limit, r.HostPID)
	return fmt.Sprintf("a loop that catches every exception: %s; nothing of it ran after %s", answer, since(begin)), err
}

func tryQuarantine(ctx context.Context, s *scene) (string, error) {
	c, ended, err := s.running(ctx, cell.Spec{}, loop)
	if err != nil {
		return "", err
	}
	if err := c.Quarantine(ctx, "conformance"); err != nil {
		return "", err
	}
	if err := <-ended; err == nil {
		return "", errors.New("the guest ran to its end")
	}
	if err := c.Exec(ctx, source("post(1)")); err == nil {
		return "", errors.New("the cell runs programs after it was quarantined")
	}
	r, err := c.Inspect(ctx)
	if err == nil && r.State != cell.Quarantined {
		err = fmt.Errorf("its state is %s", r.State)
	}
	return fmt.Sprintf("the guest was interrupted, the next program refused, and its report can be read: state %s", r.State), err
}

// tryCrash crashes a cell of one tenant and asks another's.
func tryCrash(ctx context.Context, s *scene) (string, error) { return s.crash(ctx, bystander) }

// tryCrashWithin crashes a cell and asks another of the same tenant.
func tryCrashWithin(ctx context.Context, s *scene) (string, error) { return s.crash(ctx, victim) }

// crash does to a running cell what a wild pointer in its thread would, and asks a cell of
// the other tenant, and a new one of the same.
func (s *scene) crash(ctx context.Context, tenant string) (string, error) {
	other, err := s.spawn(ctx, cell.Spec{Tenant: tenant})
	if err != nil {
		return "", err
	}
	c, ended, err := s.running(ctx, cell.Spec{Tenant: victim}, loop)
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	if err != nil {
		return "", err
	}
	pid, err := segfault(ctx, r.HostPID)
	if err != nil {
		return "", err
	}
	answer, err := refusal(<-ended, cell.CellGone)
	if err != nil {
		return "", err
	}
	if err := answers(ctx, other); err != nil {
		return "", fmt.Errorf("a SIGSEGV in process %d ended another cell of tenant %s: %w", pid, tenant, err)
	}
	again, err := s.spawn(ctx, cell.Spec{Tenant: victim})
	if err == nil {
		err = answers(ctx, again)
	}
	return fmt.Sprintf("a SIGSEGV in process %d: %s; another cell of tenant %s answers, and so does a new one", pid, answer, tenant), err
}
