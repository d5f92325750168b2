package document

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// netRule is one address, network or host of a rule for networks.
type netRule struct {
	verb string
	text string
	// host is a name, and prefix then invalid until it is resolved; names are only
	// connected to.
	host   string
	prefix netip.Prefix
	// ports, sorted and apart; none: every port.
	ports []policy.PortRange
	at    Pos
}

func (n netRule) denies() bool { return n.verb == verbDeny }

func (n netRule) String() string { return n.verb + ": " + n.text }

func (n netRule) hasPort(port uint16) bool {
	return len(n.ports) == 0 || slices.ContainsFunc(n.ports, func(r policy.PortRange) bool { return r.First <= port && port <= r.Last })
}

const (
	verbConnect = "connect"
	verbDeny    = "deny"
)

// netRules are all of a sandbox, in the order of the text.
type netRules struct {
	rules []netRule
	set   bool
}

func (l *netRules) decode(r *reporter, k *key, n *node) {
	l.set = true
	r.rules(n, k.name, []string{verbConnect, verbDeny}, "an address", func(verb string, text *node) {
		rule, err := parseNetRule(verb, text.text)
		if err != nil {
			r.at(text.at, "", "%s: %v", shown(text.text), err)
			return
		}
		rule.at = text.at
		l.rules = append(l.rules, rule)
	})
}

func (l *netRules) encode() *node {
	if !l.set {
		return nil
	}
	list := sequence()
	for _, rule := range l.rules {
		list.items = append(list.items, mapping(entry(rule.verb, quoted(rule.canonical()))))
	}
	return list
}

func (l *netRules) inherit(parent field) {
	p := parent.(*netRules)
	l.rules = slices.Concat(p.rules, l.rules)
	l.set = l.set || p.set
}

// parseNetRule reads ADDRESS[/BITS][:PORTS] or NAME[:PORTS].
func parseNetRule(verb, text string) (netRule, error) {
	rule := netRule{verb: verb, text: text}
	if isHost(text) {
		host, ports, hasPorts := strings.Cut(text, ":")
		return hostRule(rule, host, ports, hasPorts)
	}
	parsed, err := policy.ParseNetRule(text)
	if err != nil {
		return rule, plainError(err)
	}
	if verb == verbConnect && parsed.Prefix.Addr().IsUnspecified() && parsed.Prefix.IsSingleIP() {
		return rule, fmt.Errorf("%s is one address, that of this machine; write %s/0 for every address", parsed.Prefix.Addr(), parsed.Prefix.Addr())
	}
	rule.prefix, rule.ports = parsed.Prefix, joinPorts(parsed.Ports)
	return rule, nil
}

func hostRule(rule netRule, host, ports string, hasPorts bool) (netRule, error) {
	if rule.verb == verbDeny {
		return rule, errors.New("names cannot be denied, as addresses have many names; deny a network")
	}
	if !hostRE.MatchString(host) || len(host) > 253 {
		return rule, fmt.Errorf("%s is neither an address nor the name of a host", shown(host))
	}
	rule.host = strings.ToLower(strings.TrimSuffix(host, "."))
	if !hasPorts {
		return rule, nil
	}
	parsed, err := policy.ParseNetRule("192.0.2.1:" + ports) // the address is only its frame
	if err != nil {
		return rule, errors.New("after the colon stand ports, as 443 or 443,8000-8100")
	}
	rule.ports = joinPorts(parsed.Ports)
	return rule, nil
}

// A name has a letter in its last part, which no IPv4 address has.
var hostRE = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?$`)

// isHost tells what is meant as a name, valid or not, from what is meant as an address.
func isHost(text string) bool {
	if strings.Count(text, ":") > 1 || strings.ContainsAny(text, "/[") {
		return false
	}
	host, _, _ := strings.Cut(text, ":")
	last := strings.TrimSuffix(host, ".")
	last = last[strings.LastIndexByte(last, '.')+1:]
	return strings.Trim(last, "0123456789") != ""
}

// plainError is an error of package policy without the name of the package and the text,
// which the place shows.
func plainError(err error) error {
	text := err.Error()
	text = strings.TrimPrefix(text, policy.ErrInvalid.Error()+": ")
	if rest, ok := strings.CutPrefix(text, "address "); ok {
		if quotedText, err := strconv.QuotedPrefix(rest); err == nil {
			text = strings.TrimPrefix(rest[len(quotedText):], ": ")
			text = strings.TrimPrefix(text, policy.ErrInvalid.Error()+": ")
		}
	}
	return errors.New(strings.TrimSuffix(text, " (names are not looked up; give an address)"))
}

// canonical is the rule's text in its one form.
func (n netRule) canonical() string {
	address := n.host
	if n.host == "" {
		address = n.prefix.String()
		if n.prefix.IsSingleIP() {
			address = n.prefix.Addr().String()
		}
	}
	if len(n.ports) == 0 {
		return address
	}
	if n.host == "" && n.prefix.Addr().Is6() {
		address = "[" + address + "]"
	}
	return address + ":" + portText(n.ports)
}

func portText(ports []policy.PortRange) string {
	list := make([]string, len(ports))
	for i, p := range ports {
		list[i] = strconv.Itoa(int(p.First))
		if p.First != p.Last {
			list[i] += "-" + strconv.Itoa(int(p.Last))
		}
	}
	return strings.Join(list, ",")
}
