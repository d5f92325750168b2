package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
	"github.com/pyisolate/pyisolate/kernel/stack"
)

// counted is a cell with a policy whose use the kernel's programs count, if any do.
func (s *scene) counted(ctx context.Context, p policy.Policy, counts func(stack.Guard) bool) (cell.Cell, error) {
	guest, err := s.spawn(ctx, cell.Spec{Imports: []string{"socket"}, Policy: &p})
	if err != nil {
		return nil, err
	}
	r, err := guest.Inspect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := judging(r, []stack.Layer{stack.LSM, stack.Programs}); err != nil {
		return nil, err
	}
	if facts := s.config.Kernel.Facts(); !counts(facts) {
		return nil, unavailable("the programs do not count it: %s", facts.Evidence)
	}
	return guest, nil
}

// usage is what the kernel has counted of a cell.
func usage(ctx context.Context, guest cell.Cell) (cell.KernelUsage, error) {
	r, err := guest.Inspect(ctx)
	if err != nil {
		return cell.KernelUsage{}, err
	}
	if r.Kernel == nil {
		return cell.KernelUsage{}, errors.New("the report has nothing that the kernel has counted")
	}
	return *r.Kernel, nil
}

// tryConnects connects three times where two are allowed.
func tryConnects(ctx context.Context, s *scene) (string, error) {
	return withServers(func(v servers) (string, error) {
		p := toPorts(v[0])
		p.Quotas.Connects = 2
		guest, err := s.counted(ctx, *p, func(g stack.Guard) bool { return g.Connects })
		if err != nil {
			return "", err
		}
		for i, want := range []string{fmt.Sprintf("%q", greeting), fmt.Sprintf("%q", greeting), "null"} {
			if err := expectConnect(ctx, guest, v[0], want); err != nil {
				return "", fmt.Errorf("connection %d of 2: %w", i+1, err)
			}
		}
		u, err := usage(ctx, guest)
		if err == nil && (u.Connects != 2 || u.Denied == 0) {
			err = fmt.Errorf("the kernel has counted %d connections and %d refusals", u.Connects, u.Denied)
		}
		return "two connections were made, the third refused", err
	})
}

// tryBytes sends ten datagrams of a thousand bytes where five thousand are allowed.
func tryBytes(ctx context.Context, s *scene) (evidence string, err error) {
	sink, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	port := sink.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	p := toPorts(port)
	p.Quotas.Sent = 5000
	guest, err := s.counted(ctx, *p, func(g stack.Guard) bool { return g.Bytes })
	if err != nil {
		return "", err
	}
	err = guest.Exec(ctx, source(fmt.Sprintf(`
import socket
sent = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    for _ in range(10):
        try: s.sendto(bytes(1000), ("127.0.0.1", %d))
        except PermissionError: continue
        sent += 1
post(sent)
`, port)))
	if err != nil {
		return "", err
	}
	if err := expect(ctx, guest, "4"); err != nil { // with their headers a fifth is too much
		return "", err
	}
	u, err := usage(ctx, guest)
	if err == nil && (u.Sent <= 4000 || u.Sent > 5000) {
		err = fmt.Errorf("the kernel has counted %d bytes", u.Sent)
	}
	return fmt.Sprintf("four of ten datagrams were sent, %d of 5000 bytes, and the others refused", u.Sent), err
}

// tryLifeCPU computes for longer than the cell may in its life; the guest asks the kernel for
// nothing.
func tryLifeCPU(ctx context.Context, s *scene) (string, error) {
	guest, err := s.counted(ctx, policy.Policy{Quotas: policy.Quotas{CPUTotal: 200 * time.Millisecond}}, func(g stack.Guard) bool { return g.CPU })
	if err != nil {
		return "", err
	}
	answer, err := refusal(guest.Exec(ctx, source("while True: pass")), cell.CellGone)
	if err == nil && !strings.Contains(answer, "cpu_total") {
		err = fmt.Errorf("the cell ended by something else: %s", answer)
	}
	return answer, err
}
