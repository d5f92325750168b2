package document

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/contract"
)

// Change is one difference between what two sandboxes permit.
type Change struct {
	// What it is about: a key of the document.
	What string `json:"what"`
	// Text is what is permitted on one side only.
	Text string `json:"text"`
}

// Changes are the differences between two sandboxes as authority. Where rules with globs
// differ they may list what another rule permits all the same; they leave nothing out.
type Changes struct {
	// Gained is what only the new one permits, Lost what only the old one does.
	Gained []Change `json:"gained,omitempty"`
	Lost   []Change `json:"lost,omitempty"`
	// Changed is what is neither more nor less.
	Changed []Change `json:"changed,omitempty"`
}

// Empty tells that both permit the same.
func (c Changes) Empty() bool { return len(c.Gained)+len(c.Lost)+len(c.Changed) == 0 }

// String has a change a line: + for gained, - for lost, ~ for changed.
func (c Changes) String() string {
	var b strings.Builder
	for _, part := range []struct {
		mark string
		list []Change
	}{{"+", c.Gained}, {"-", c.Lost}, {"~", c.Changed}} {
		for _, one := range part.list {
			fmt.Fprintf(&b, "%s %s: %s\n", part.mark, one.What, one.Text)
		}
	}
	return b.String()
}

// Diff compares what two sandboxes permit, in whatever way their documents say it.
func Diff(before, after *Compiled) Changes {
	var c Changes
	both := func(what string, gains func(from, to *Compiled) []string) {
		c.Gained = addAll(c.Gained, what, gains(before, after))
		c.Lost = addAll(c.Lost, what, gains(after, before))
	}
	both("imports", func(from, to *Compiled) []string { return gainedImports(from.Imports, to.Imports) })
	both("fs", func(from, to *Compiled) []string { return gainedFiles(from.Policy.Files, to.Policy.Files) })
	both("net", func(from, to *Compiled) []string {
		return append(gainedHosts(from.hosts, to.hosts), gainedNet(from.Policy.Net, to.Policy.Net)...)
	})
	both("backend", gainedBackends)
	for _, l := range limits {
		both(l.key, func(from, to *Compiled) []string { return l.gained(from, to) })
	}
	both("capabilities", gainedGrants)
	both("contracts", gainedContracts)
	for _, other := range others {
		if a, b := other.text(before), other.text(after); a != b {
			c.Changed = append(c.Changed, Change{other.key, arrow(a, b)})
		}
	}
	c.Changed = addAll(c.Changed, "capabilities", changedGrants(before, after))
	c.Changed = addAll(c.Changed, "x-", changedExtra(before, after))
	return c
}

func addAll(list []Change, what string, texts []string) []Change {
	for _, text := range texts {
		text = escapeControls(text)
		if what == extraPrefix {
			name, rest, _ := strings.Cut(text, ": ")
			list = append(list, Change{extraPrefix + name, rest})
			continue
		}
		list = append(list, Change{what, text})
	}
	return list
}

func arrow(a, b string) string { return orNone(a) + " → " + orNone(b) }

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

// limit is a bound, of which more is more authority.
type limit struct {
	key  string
	of   func(*Compiled) int64 // 0 is unlimited
	show func(int64) string
}

func (l limit) gained(from, to *Compiled) []string {
	old, now := l.of(from), l.of(to)
	if old == now || old == 0 || (now != 0 && now < old) {
		return nil
	}
	if now == 0 {
		return []string{fmt.Sprintf("unlimited, and not %s", l.show(old))}
	}
	return []string{fmt.Sprintf("%s, and not %s", l.show(now), l.show(old))}
}

func plainNumber(n int64) string { return fmt.Sprint(n) }

func shownDuration(n int64) string { return FormatDuration(time.Duration(n)) }

// effectiveLimits are those that hold.
func (c *Compiled) effectiveLimits() cell.Limits { return c.Limits.WithDefaults() }

var limits = []limit{
	{"mem", func(c *Compiled) int64 { return c.effectiveLimits().Memory }, FormatSize},
	{"cpu", func(c *Compiled) int64 { return share(c.Limits) }, func(n int64) string { return fmt.Sprintf("%.4g processors", float64(n)/1e9) }},
	{"cpu_ms", func(c *Compiled) int64 { return int64(c.Limits.CPU) }, shownDuration},
	{"wall", func(c *Compiled) int64 { return int64(c.Limits.Wall) }, shownDuration},
	{"output", func(c *Compiled) int64 { return c.Limits.Output }, FormatSize},
	{"message", func(c *Compiled) int64 { return int64(c.effectiveLimits().MessageBytes) }, FormatSize},
	{"queue", func(c *Compiled) int64 { return int64(c.effectiveLimits().QueueItems) }, plainNumber},
	{"files", func(c *Compiled) int64 { return int64(c.effectiveLimits().Files) }, plainNumber},
	// One more than there are, as none is not unlimited.
	{"children", func(c *Compiled) int64 { return int64(c.Limits.Children) + 1 }, func(n int64) string { return fmt.Sprint(n - 1) }},
	{"opens", func(c *Compiled) int64 { return c.Policy.Quotas.Opens }, plainNumber},
	{"connects", func(c *Compiled) int64 { return c.Policy.Quotas.Connects }, plainNumber},
	{"sent", func(c *Compiled) int64 { return c.Policy.Quotas.Sent }, FormatSize},
	{"received", func(c *Compiled) int64 { return c.Policy.Quotas.Received }, FormatSize},
	{"bandwidth", func(c *Compiled) int64 { return c.Policy.Quotas.Bandwidth }, func(n int64) string { return FormatSize(n) + "/s" }},
}

// share is processor time per second of wall time; 0 is unlimited.
func share(l cell.Limits) int64 {
	if l.CPUWindow == 0 {
		return 0
	}
	return max(1, int64(float64(l.CPUPerWindow)/float64(l.CPUWindow)*1e9))
}

// others are values of which none is more than another.
var others = []struct {
	key  string
	text func(*Compiled) string
}{
	{"cpu window", func(c *Compiled) string {
		if c.Limits.CPUWindow == 0 {
			return ""
		}
		return FormatDuration(c.Limits.CPUWindow)
	}},
	{"dialect", func(c *Compiled) string { return c.Dialect }},
	{"numa", func(c *Compiled) string { return c.NUMA }},
	{"restart", func(c *Compiled) string {
		if c.Restart == nil {
			return ""
		}
		return fmt.Sprintf("%s, %d in %s", c.Restart.Strategy, c.Restart.Max, FormatDuration(c.Restart.Within))
	}},
	{"checkpoint", func(c *Compiled) string {
		if c.Checkpoint == nil {
			return ""
		}
		return c.Checkpoint.String()
	}},
}

func gainedImports(from, to []string) (gained []string) {
	for _, name := range to {
		covered := slices.ContainsFunc(from, func(grant string) bool {
			return grant == "*" || grant == name || strings.HasPrefix(name, grant+".")
		})
		if !covered {
			gained = append(gained, name)
		}
	}
	return gained
}

func gainedBackends(from, to *Compiled) []string {
	if Stronger(from.Backend, to.Backend) {
		return []string{fmt.Sprintf("weaker boundaries than %s", from.Backend)}
	}
	return nil
}

// gainedContracts are assertions that need no longer hold.
func gainedContracts(from, to *Compiled) (gained []string) {
	kept := assertions(to)
	for _, one := range assertions(from) {
		if !slices.Contains(kept, one) {
			gained = append(gained, "what this refuses: "+one)
		}
	}
	return gained
}

// assertions are those of the contract, each in its one form: as written, one may take several
// lines, which others may have, too.
func assertions(c *Compiled) []string {
	parsed, err := contract.Parse(c.Policy.Contract)
	if err != nil {
		return nil // it was parsed when it was compiled
	}
	return strings.FieldsFunc(parsed.String(), func(r rune) bool { return r == '\n' })
}
