package document

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// ParsePeer makes a query of ADDRESS:PORT, [ADDRESS]:PORT or HOST:PORT.
func ParsePeer(text string) (Query, error) {
	if address, err := netip.ParseAddrPort(text); err == nil {
		return Query{Address: address}, nil
	}
	at := strings.LastIndexByte(text, ':')
	port, err := strconv.ParseUint(text[at+1:], 10, 16)
	if at < 1 || err != nil || strings.ContainsAny(text[:at], ":[]/") {
		return Query{}, fmt.Errorf("%.300q is not ADDRESS:PORT, [ADDRESS]:PORT or HOST:PORT", text)
	}
	return Query{Host: text[:at], Port: uint16(port)}, nil
}
