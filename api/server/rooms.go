package server

import "github.com/pyisolate/pyisolate/policystore"

// Slots of calls that are under way at once.
const (
	shortSlots = 128
	longSlots  = 2048
	// stopSlots are for calls that end cells, when the others are taken.
	stopSlots = 64
	// openSlots are of calls that anybody may make, and openOfOne of one host's: whoever has a
	// few addresses does not keep a load balancer out.
	openSlots = 1024
	openOfOne = 32
	// refusingSlots are of answers that are given without a slot, and refusingOfOne of one host's or user's: far more
	// than are under way at once where somebody takes them.
	refusingSlots = 4096
	refusingOfOne = 512
)

// rooms are what calls of one kind of callers have: what one kind holds no other misses.
type rooms struct {
	// open is of calls without a token. They need little, and no bytes are counted.
	open        *slots
	short, long *slots
	// stops are left for calls that end cells however many others are under way. Their requests
	// are small, and no bytes of them are counted.
	stops *slots
	bytes *slots // of requests
	// answers are bytes of those that nobody has taken; nil: they are not counted.
	answers *slots
}

func newRooms(times int64) *rooms {
	return &rooms{open: newShares(openSlots, openOfOne), short: newSlots(times * shortSlots), long: newSlots(times * longSlots),
		stops: newSlots(times * stopSlots), bytes: newSlots(times * maxRequests), answers: newSlots(times * maxAnswers)}
}

// side is what calls have that come one way.
type side struct {
	// own is the room of a node's own user and root, whom nobody else keeps out.
	own, others *rooms
	rates       *rates
}

// newSides makes those of clients and of nodes. In the latter a node's share is what a whole side of the former
// is to one client, so that whom a node calls for has as much there as here.
func newSides(most float64) (clients, nodes *side) {
	if most == 0 {
		most = defaultRate
	}
	clients, nodes = &side{newRooms(1), newRooms(1), newRates(most)}, &side{newRooms(2), newRooms(2), newRates(2 * most)}
	clients.own.answers = nil // the node's own user has its memory anyway
	return clients, nodes
}

// of is where a call of the side is counted.
func (s *side) of(p policystore.Principal, from peer) (*rooms, *rates) {
	if p.TokenID == "" && (from.trusted || from.node != "") {
		return s.own, s.rates
	}
	return s.others, s.rates
}

// enter takes a slot and returns where it is to be given back; nil: there is none.
func (r *rooms) enter(rule rule, who holders) *slots {
	room := r.short
	switch {
	case rule.open:
		room = r.open
	case rule.long:
		room = r.long
	}
	switch {
	case room.take(who, 1):
		return room
	case rule.stops && r.stops.take(who, 1):
		return r.stops
	}
	return nil
}

// counted is where a request's bytes are counted, nil: nowhere.
func (r *rooms) counted(rule rule) *slots {
	if rule.open || rule.stops || rule.streams {
		return nil
	}
	return r.bytes
}
