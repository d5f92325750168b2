package enforce

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pyisolate/pyisolate/kernel/contract"
	"github.com/pyisolate/pyisolate/kernel/guard"
)

// contracts are those that are loaded, by their text: cells with the same share their programs,
// and so a place in the guard.
type contracts struct {
	guard *guard.Guard

	mu     sync.Mutex
	loaded map[string]guard.Contracts
	recent []string // texts, the one used last at the end
}

// maxContracts is how many texts stay loaded. Programs that are in the guard stay there, whatever
// becomes of them here.
const maxContracts = 64

// event is the hook that a point of the guard calls a contract for.
var event = map[string]contract.Hook{"open": contract.Open, "connect": contract.Connect, "send": contract.Send, "fork": contract.Fork}

// hooks are what the guard calls contracts for.
func hooksOf(g *guard.Guard) []contract.Hook {
	var list []contract.Hook
	for _, p := range g.ContractPoints() {
		if h := event[p.Event]; h != 0 && !slices.Contains(list, h) {
			list = append(list, h)
		}
	}
	return list
}

// load returns the programs of a text, for all points where it has something to say. The caller
// closes them.
func (c *contracts) load(text string) (guard.Contracts, error) {
	if text == "" {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if of, ok := c.loaded[text]; ok {
		c.recent = append(slices.DeleteFunc(c.recent, func(t string) bool { return t == text }), text)
		return cloneAll(of)
	}
	parsed, err := contract.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("enforce: contract: %w", err)
	}
	of := guard.Contracts{}
	for _, p := range c.guard.ContractPoints() {
		if !parsed.Concerns(event[p.Event]) {
			continue
		}
		of[p.Name], err = parsed.Load(event[p.Event], contract.Target{Type: p.Type, AttachType: p.AttachType, AttachTo: p.AttachTo,
			Events: p.Events, Refusals: p.Refusals, RefusalIndex: p.RefusalIndex})
		if err != nil {
			delete(of, p.Name)
			return nil, errors.Join(fmt.Errorf("enforce: contract at %s: %w", p.Name, err), closeAll(of))
		}
	}
	c.loaded[text] = of
	c.recent = append(c.recent, text)
	if len(c.recent) > maxContracts {
		oldest := c.recent[0]
		c.recent = c.recent[1:]
		_ = closeAll(c.loaded[oldest]) // its programs live on where they are in use
		delete(c.loaded, oldest)
	}
	return cloneAll(of)
}

func cloneAll(of guard.Contracts) (guard.Contracts, error) {
	clones := guard.Contracts{}
	for name, p := range of {
		clone, err := p.Clone()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("enforce: hold a contract: %w", err), closeAll(clones))
		}
		clones[name] = clone
	}
	return clones, nil
}

func (c *contracts) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed error
	for _, of := range c.loaded {
		failed = errors.Join(failed, closeAll(of))
	}
	c.loaded, c.recent = nil, nil
	return failed
}

func closeAll(of guard.Contracts) error {
	var failed error
	for _, p := range of {
		failed = errors.Join(failed, p.Close())
	}
	return failed
}
