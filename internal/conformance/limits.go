package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

func tryCPU(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{Limits: cell.Limits{CPU: 100 * time.Millisecond}})
	if err != nil {
		return "", err
	}
	answer, err := refusal(c.Exec(ctx, source("while True: pass")), cell.CPUExceeded)
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	return fmt.Sprintf("%s; %s were used", answer, r.CPU.Round(time.Millisecond)), err
}

// late is how long after its limit a guest may be answered for: the limit's own grace, and
// a loaded machine.
const late = 5 * time.Second

// tryWall meets a guest that is stuck in C, where no interrupt reaches it.
func tryWall(ctx context.Context, s *scene) (string, error) {
	other, err := s.spawn(ctx, cell.Spec{Tenant: bystander})
	if err != nil {
		return "", err
	}
	const limit = 100 * time.Millisecond
	c, err := s.spawn(ctx, cell.Spec{Tenant: victim, Limits: cell.Limits{Wall: limit}})
	if err != nil {
		return "", err
	}
	begin := time.Now()
	answer, err := refusal(c.Exec(ctx, source("sum(range(10**12))")), cell.Timeout)
	took := since(begin)
	switch {
	case err != nil:
		return "", err
	case took > limit+late:
		return "", fmt.Errorf("the answer came after %s", took)
	}
	return fmt.Sprintf("sum(range(10**12)) with %s: %s, after %s; another tenant's cell answers", limit, answer, took), answers(ctx, other)
}

func tryMemory(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{Limits: cell.Limits{Memory: 32 << 20}})
	if err != nil {
		return "", err
	}
	answer, err := refusal(c.Exec(ctx, source("x = bytes(10**9)")), cell.MemoryExceeded)
	if err != nil {
		return "", err
	}
	return answer + "; the cell still answers", answers(ctx, c)
}

func tryOutput(ctx context.Context, s *scene) (string, error) {
	c, err := s.spawn(ctx, cell.Spec{Limits: cell.Limits{Output: 1000}})
	if err != nil {
		return "", err
	}
	return refusal(c.Exec(ctx, source("post('x' * 5000)")), cell.OutputExceeded)
}

// beyond is memory that SQLite takes from malloc, past the allocator that counts.
const beyond = 256 << 20

// tryLibraryMemory takes more memory than the limit by a C library, after a little.
func tryLibraryMemory(ctx context.Context, s *scene) (string, error) {
	other, err := s.spawn(ctx, cell.Spec{Tenant: bystander})
	if err != nil {
		return "", err
	}
	c, err := s.spawn(ctx, cell.Spec{Tenant: victim, Imports: []string{"sqlite3"}, Limits: cell.Limits{Memory: 32 << 20}})
	if err != nil {
		return "", err
	}
	r, err := c.Inspect(ctx)
	if err != nil {
		return "", err
	}
	take := func(size int) error {
		return c.Exec(ctx, source(fmt.Sprintf("db.execute('insert into t values (zeroblob(%d))')", size)))
	}
	err = c.Exec(ctx, source("import sqlite3\ndb = sqlite3.connect(':memory:')\ndb.execute('create table t (b)')"))
	if err == nil {
		err = take(1 << 20)
	}
	var guest *cell.Error
	if errors.As(err, &guest) && guest.Type == "ModuleNotFoundError" {
		return "", unavailable("this Python has no SQLite to take memory with: %s", guest.Message)
	}
	if err != nil {
		return "", fmt.Errorf("take 1 MiB: %w", err)
	}
	err = take(beyond)
	switch {
	case err == nil:
		return "", fmt.Errorf("SQLite took %d MiB in a cell with a limit of 32 MiB", beyond>>20)
	case !errors.As(err, &guest), guest.Type != "MemoryError" && guest.Kind != cell.MemoryExceeded && guest.Kind != cell.CellGone:
		return "", err
	}
	return fmt.Sprintf("SQLite took 1 MiB and was refused %d: %v; another cell answers; control groups: %s",
		beyond>>20, err, layer(r, stack.Cgroup).Evidence), answers(ctx, other)
}
