package netlab

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"sync"
)

// maxHosts of a Lab: their addresses have one byte of their own.
const maxHosts = 250

// network is where the addresses of hosts are from, in every Lab: namespaces keep them apart.
var network = netip.MustParsePrefix("10.77.0.0/24")

// Lab is a network.
type Lab struct {
	hosts map[string]*Host
	at    map[netip.Addr]*Host
	links map[[2]string]*link // by from and to
	work  sync.WaitGroup
}

// Probe makes a network of one machine and returns why that does not work, or nil.
func Probe() error {
	l, err := New(0, "probe")
	if err != nil {
		return err
	}
	return l.Close()
}

// New makes a network of machines with these names. Chance begins with seed.
func New(seed uint64, names ...string) (*Lab, error) {
	if len(names) == 0 || len(names) > maxHosts {
		return nil, fmt.Errorf("netlab: a network of %d machines; it has 1 to %d", len(names), maxHosts)
	}
	l := &Lab{hosts: map[string]*Host{}, at: map[netip.Addr]*Host{}, links: map[[2]string]*link{}}
	if err := l.addHosts(names); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for i, from := range names {
		for j, to := range names {
			if i != j {
				one := newLink(l.hosts[to].device, seed, uint64(i)<<32|uint64(j))
				l.links[[2]string{from, to}] = one
				l.work.Go(one.run)
			}
		}
	}
	for _, h := range l.hosts {
		l.work.Go(func() { l.carry(h) })
	}
	return l, nil
}

func (l *Lab) addHosts(names []string) error {
	address := network.Addr()
	for _, name := range names {
		if l.hosts[name] != nil {
			return fmt.Errorf("netlab: two machines with the name %q", name)
		}
		address = address.Next()
		h, err := newHost(name, address)
		if err != nil {
			return fmt.Errorf("netlab: make the machine %q: %w", name, err)
		}
		l.hosts[name], l.at[address] = h, h
	}
	return nil
}

// Host is nil if there is none with the name.
func (l *Lab) Host(name string) *Host { return l.hosts[name] }

// Names of all hosts, sorted.
func (l *Lab) Names() []string {
	var all []string
	for name := range l.hosts {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// Set says how the link from one host to another is from now on; the way back has a link of its
// own. It does nothing if there is no such link.
func (l *Lab) Set(from, to string, c Condition) {
	if one := l.links[[2]string{from, to}]; one != nil {
		one.condition.Store(&c)
	}
}

// Heal makes all links good.
func (l *Lab) Heal() {
	for _, one := range l.links {
		one.condition.Store(&Condition{})
	}
}

// Traffic of the link from one host to another since the Lab was made.
func (l *Lab) Traffic(from, to string) Traffic {
	one := l.links[[2]string{from, to}]
	if one == nil {
		return Traffic{}
	}
	return Traffic{Packets: one.packets.Load(), Bytes: one.bytes.Load(), Dropped: one.dropped.Load()}
}

// Close ends the network. Processes on its machines should have ended before: they find themselves
// without it.
func (l *Lab) Close() error {
	var failed []error
	for _, h := range l.hosts {
		failed = append(failed, h.close())
	}
	for _, one := range l.links {
		close(one.end)
	}
	l.work.Wait()
	return errors.Join(failed...)
}

// carry takes the packets that a host sends to the links that they are for, until its device is
// closed. Each link has one goroutine that gives to it: this.
func (l *Lab) carry(from *Host) {
	packet := make([]byte, 1<<16)
	for {
		n, err := from.device.Read(packet)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) && !errors.Is(err, io.EOF) {
				from.fail(fmt.Errorf("netlab: read what %q sends: %w", from.name, err))
			}
			return
		}
		to, ok := destination(packet[:n])
		if !ok || l.at[to] == nil || l.at[to] == from {
			continue // such as the neighbour discovery of IPv6
		}
		l.links[[2]string{from.name, l.at[to].name}].give(packet[:n])
	}
}

// destination is where an IPv4 packet goes.
func destination(packet []byte) (netip.Addr, bool) {
	const header = 20 // bytes, at least
	if len(packet) < header || packet[0]>>4 != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(packet[16:20])), true
}
