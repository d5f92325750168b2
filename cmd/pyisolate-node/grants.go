package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/broker/capability/builtin"
	"github.com/pyisolate/pyisolate/broker/capability/kv"
	"github.com/pyisolate/pyisolate/broker/capability/secrets"
)

// effects is what the program may ask the node for.
type effects struct {
	broker  *capability.Broker
	session *capability.Session
}

// openEffects makes ready what is granted, or returns nil where nothing is.
func (o *runOptions) openEffects(grants []capability.Grant) (e *effects, err error) {
	if len(grants) == 0 {
		return nil, nil
	}
	c, err := o.capabilities(grants)
	if err != nil {
		return nil, err
	}
	e = &effects{broker: capability.New(capability.Config{})}
	if err := builtin.Register(e.broker, c); err != nil {
		return nil, errors.Join(err, e.close())
	}
	e.session, err = e.broker.Open(capability.Identity{Tenant: o.tenant, Cell: "run"}, capability.Policy{Grants: grants})
	if err != nil {
		return nil, errors.Join(usageError{fmt.Errorf("what is granted: %w", err)}, e.close())
	}
	return e, nil
}

// capabilities opens what the granted ones work with.
func (o *runOptions) capabilities(grants []capability.Grant) (c builtin.Config, err error) {
	granted := func(name string) bool {
		return slices.ContainsFunc(grants, func(g capability.Grant) bool { return g.Capability == name })
	}
	if granted(secrets.Name) {
		if c.Secrets, err = secretsFrom(o.secrets); err != nil {
			return c, err
		}
	}
	if granted(kv.Name) {
		if o.store == "" {
			return c, usageError{errors.New("--grant kv needs --store FILE, where the values are kept")}
		}
		if c.KV, err = kv.Open(o.store, kv.Config{}); err != nil {
			return c, fmt.Errorf("--store: %w", err)
		}
	}
	return c, nil
}

// secretsFrom reads where secrets are: a directory, a JSON file, or env:A,B.
func secretsFrom(where string) (secrets.Provider, error) {
	if names, ok := strings.CutPrefix(where, "env:"); ok {
		return secrets.Env{Names: strings.Split(names, ",")}, nil
	}
	if where == "" {
		return nil, usageError{errors.New("--grant secrets.get needs --secrets DIR, FILE or env:NAME,…")}
	}
	info, err := os.Stat(where)
	switch {
	case err != nil:
		return nil, usageError{fmt.Errorf("--secrets: %w", err)}
	case info.IsDir():
		return secrets.Dir(where), nil
	}
	return secrets.File(where), nil
}

// close ends what is under way.
func (e *effects) close() error {
	if e == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if e.session != nil {
		e.session.Close()
	}
	return e.broker.Close(ctx)
}
