package main

import (
	"maps"
	"testing"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

func TestGoOnAfter(t *testing.T) {
	for name, c := range map[string]struct {
		words []string
		after uint64
		of    map[string]uint64
		wrong bool
	}{
		"none":        {nil, 0, nil, false},
		"an index":    {[]string{"5"}, 5, nil, false},
		"of nodes":    {[]string{"n1=5", "n2=7"}, 0, map[string]uint64{"n1": 5, "n2": 7}, false},
		"no number":   {[]string{"n1"}, 0, nil, true},
		"no index":    {[]string{"n1="}, 0, nil, true},
		"no node":     {[]string{"=5"}, 0, nil, true},
		"below zero":  {[]string{"n1=-5"}, 0, nil, true},
		"more than 2": {[]string{"n1=5=6"}, 0, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			var r pb.EventsRequest
			err := goOnAfter(&r, c.words)
			if (err != nil) != c.wrong {
				t.Fatal(err)
			}
			if err == nil && (r.GetAfter() != c.after || !maps.Equal(r.GetAfterOf(), c.of)) {
				t.Errorf("after %d, of nodes %v", r.GetAfter(), r.GetAfterOf())
			}
		})
	}
}
