package telemetry

import (
	"context"
	"errors"
	"time"

	"github.com/pyisolate/pyisolate/policystore"
	"github.com/pyisolate/pyisolate/telemetry/events"
)

// Policies is what WatchPolicies needs of a store: *policystore.Store.
type Policies interface {
	List(ctx context.Context, r policystore.ListRequest, c policystore.Consistency) (policystore.Listing, error)
	Watch(ctx context.Context, prefix string, from uint64) (*policystore.Watch, error)
}

const (
	policyPage = 256
	// watchAgain is how long after a failure the store is asked again.
	watchAgain = time.Second
)

// WatchPolicies tells of the newest versions of policies, and publishes those that come, until ctx
// ends or the store is closed. The caller gives it a goroutine.
func (o *Observer) WatchPolicies(ctx context.Context, store Policies) {
	if o == nil {
		return
	}
	for ctx.Err() == nil {
		err := o.watchOnce(ctx, store)
		if errors.Is(err, policystore.ErrClosed) || ctx.Err() != nil {
			return
		}
		o.log().Warn("watching policies for their metrics began anew", "error", err)
		again := time.NewTimer(watchAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

func (o *Observer) watchOnce(ctx context.Context, store Policies) error {
	index, err := o.listPolicies(ctx, store)
	if err != nil {
		return err
	}
	w, err := store.Watch(ctx, "", index)
	if err != nil {
		return err
	}
	for {
		e, err := w.Next(ctx)
		if err != nil {
			return err
		}
		o.changed(e.Version)
	}
}

// listPolicies tells of all there are, and of no others: what has gone while nobody watched is not
// listed. It returns an index after which no change is missed.
func (o *Observer) listPolicies(ctx context.Context, store Policies) (index uint64, err error) {
	all := newPolicySet()
	for after := ""; ; {
		page, err := store.List(ctx, policystore.ListRequest{After: after, Limit: policyPage}, policystore.Stale)
		if err != nil {
			return 0, err
		}
		if after == "" {
			index = page.Index
		}
		for _, v := range page.Versions {
			all.set(v.Name, v.Number)
			after = v.Name
		}
		if !page.More {
			o.Metrics.policiesAre(all)
			return index, nil
		}
	}
}

func (o *Observer) changed(v policystore.Version) {
	e := events.Event{Kind: events.PolicyPut, At: v.Time, Tenant: policystore.NameTenant(v.Name), Policy: v.Name, Version: v.Number, Message: "by " + v.Author}
	number := v.Number
	switch {
	case v.Deleted:
		number, e.Message = 0, "deleted by "+v.Author
	case v.Source != "":
		e.Message += ", from " + v.Source
	}
	o.Metrics.PolicyVersion(v.Name, number)
	o.publish(e)
}
