package document

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"time"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/kernel/policy"
)

// Bounds of a document. Every text within the first is parsed in well under a second.
const (
	// MaxSize is how many bytes a text may have.
	MaxSize = 1 << 20
	// MaxDepth is how deep lists and maps may be nested.
	MaxDepth = 16
	// MaxKeys is how many entries one map may have.
	MaxKeys = 1024
	// MaxSandboxes is how many sandboxes it may have.
	MaxSandboxes = 256
	// MaxRules is how many rules for files and networks a sandbox may have with those it
	// inherits, each path and each address counted. All sandboxes together may have ten
	// times as many.
	MaxRules = 10000
	// MaxGlobs is how many of those for files may have wildcards: who judges tries each.
	MaxGlobs = 1024
	// MaxNetworks is how many of those for networks may have addresses, and MaxHosts how many
	// may name hosts. Each host is taken for MaxAddresses at most. Together they are as many
	// prefixes as the kernel's programs have room for.
	MaxNetworks  = 2048
	MaxHosts     = 64
	MaxAddresses = 32
	// MaxProblems is how many faults are reported.
	MaxProblems = 50
)

// The versions of documents.
const (
	Version01 = "0.1"
	Version10 = "1.0"
)

// Pos is a place in a text: a line, and in it a character, both from 1. The zero Pos is
// nowhere.
type Pos struct {
	Line, Column int
}

// Document is one policy document.
type Document struct {
	file      string
	version   string
	lines     []string
	defaults  *sandbox
	sandboxes []*sandbox
	canonical []byte
}

// File is the name that Parse was given.
func (d *Document) File() string { return d.file }

// Version is the version that the text states. The canonical form has [Version10].
func (d *Document) Version() string { return d.version }

// Sandboxes are the names of the sandboxes, in the order of the text.
func (d *Document) Sandboxes() []string {
	names := make([]string, len(d.sandboxes))
	for i, s := range d.sandboxes {
		names[i] = s.name
	}
	return names
}

// Canonical is the document in its one form: version 1.0, keys in the order of the
// reference, units normalised, without comments. Documents that differ in form only have
// the same; and it parses to an equal document.
func (d *Document) Canonical() []byte { return slices.Clone(d.canonical) }

// Hash is the SHA-256 of the canonical form.
func (d *Document) Hash() [32]byte { return sha256.Sum256(d.canonical) }

// Options are what a compilation depends on beside the document.
type Options struct {
	// Resolve has the addresses that host names stand for at the moment, by the name as
	// it is in [Compiled.Names]. A name that is not in it gives no rule. Of one with more than
	// MaxAddresses the lowest count.
	Resolve map[string][]netip.Addr
	// Keys are the plug-ins' keys; nil: there are none.
	Keys *Keys
	// Grant reports what is wrong with the scope of a grant, which only its capability
	// knows; nil: nobody asks before a cell starts. It must be as pure as this package.
	Grant func(capability.Grant) error
}

// Compiled is what one sandbox means.
type Compiled struct {
	// Sandbox is its name and File the document's, as Parse was given it.
	Sandbox, File string
	// Hash is of the meaning: of all below but lines. Where it is equal there is nothing
	// to reload.
	Hash [32]byte
	// Imports the guest may name, sorted; empty: none.
	Imports []string
	// Backend is the weakest boundary that the policy accepts; "" accepts each.
	Backend cell.Backend
	// Dialect is the language; "" is the caller's choice.
	Dialect string
	// NUMA is "auto" or a node's number; "" is the caller's choice.
	NUMA string
	// Limits have zero where the document is silent: the default of [cell.Limits].
	Limits cell.Limits
	// Policy passes its Validate. Deny is resolved: its rules, judged by "the longest
	// prefix decides", permit exactly what Explain does.
	Policy policy.Policy
	// Grants name each capability once, sorted by it. What their scopes mean, the
	// capability says when a session is opened.
	Grants []capability.Grant
	// Restart is for the supervisor; nil where the document is silent.
	Restart *Restart
	// Checkpoint is for the node; nil where the document is silent.
	Checkpoint *Checkpoint
	// Names are the host names that rules permit, sorted, lower case.
	Names []string
	// Unresolved are those of Names that have no address at the moment, or one that gives no
	// rule: it is one of too many, may be reached only by rules with addresses, or has too many
	// ranges of ports by other rules. Hash is not of it.
	Unresolved []string
	// Extra are plug-ins' keys as their Key decoded them, by name.
	Extra map[string]any

	extraSource map[string]string
	imports     []named
	files       fileIndex
	// hosts are all rules for networks in the order of the text, hosts' among them with
	// and without their addresses.
	hosts []netRule
	net   netIndex
	keys  *Keys
}

// Restart is what becomes of a cell that has ended by a fault.
type Restart struct {
	// Strategy is "never", "fresh" or "checkpoint".
	Strategy string `json:"strategy"`
	// Max is how often it may happen in each Within; then the cell stays down.
	Max int `json:"max"`
	// Within is at least a second.
	Within time.Duration `json:"within"`
}

// Query asks about one deed. Exactly one of Path, Address, Host and Import is set.
type Query struct {
	// Path is absolute and clean, and where links lead. Access is what is to be done
	// there, all of it.
	Path   string
	Access policy.Access
	// Address is to be connected or sent to.
	Address netip.AddrPort
	// Host and Port are to be connected to by name.
	Host string
	Port uint16
	// Import is a module's full name.
	Import string
}

// Verdict is an answer and its reason.
type Verdict struct {
	Allowed bool `json:"allowed"`
	// Rule is the rule that decides, as in `deny: 169.254.0.0/16`; empty where none does
	// and so the deed is denied.
	Rule string `json:"rule,omitempty"`
	// Line of the rule; 0 without one.
	Line int `json:"line,omitempty"`
	// Layer is who enforces it.
	Layer string `json:"layer"`
	// Why is one sentence for people.
	Why string `json:"why"`
}
