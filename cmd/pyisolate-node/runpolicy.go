package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/broker/capability"
	"github.com/pyisolate/pyisolate/cell"
	"github.com/pyisolate/pyisolate/policystore/document"
)

// governed are the flags of run that say what a policy says.
var governed = []string{"allow-import", "allow-read", "allow-write", "allow-connect", "contract", "mem", "cpu", "wall", "output",
	"children", "files", "grant", "numa"}

// resolveTimeout bounds the look-up of one host name of a policy.
const resolveTimeout = 5 * time.Second

// rules are what the program may do: of --policy, or of the other flags.
type rules struct {
	spec   cell.Spec
	grants []capability.Grant
}

// rules puts together what the command line says.
func (o *runOptions) rules(ctx context.Context, c *cobra.Command, sink cell.Sink) (r rules, err error) {
	if o.policyFile == "" {
		if r.grants, err = capability.ParseGrants(o.grants); err != nil {
			return r, usageError{fmt.Errorf("--grant: %w", err)}
		}
		r.spec, err = o.spec(sink)
		return r, err
	}
	for _, name := range governed {
		if c.Flags().Changed(name) {
			return r, usageError{fmt.Errorf("--%s goes with the program's policy: write it into %s, or leave --policy out", name, o.policyFile)}
		}
	}
	compiled, err := o.compile(ctx, c.ErrOrStderr())
	if err != nil {
		return r, policyFailure(c, err)
	}
	r.grants = compiled.Grants
	r.spec = cell.Spec{Tenant: o.tenant, Backend: cell.Backend(o.backend), Sink: sink, NUMA: o.numa}
	if o.backend != "" && document.Stronger(compiled.Backend, r.spec.Backend) {
		return r, usageError{fmt.Errorf("--backend %s: sandbox %s of %s wants at least %s", o.backend, compiled.Sandbox, o.policyFile, compiled.Backend)}
	}
	if c.Flags().Changed("dialect") && compiled.Dialect != "" && compiled.Dialect != o.dialect {
		return r, usageError{fmt.Errorf("--dialect %s: sandbox %s of %s wants %s", o.dialect, compiled.Sandbox, o.policyFile, compiled.Dialect)}
	}
	o.dialect = cmp.Or(compiled.Dialect, o.dialect)
	return r, compiled.Apply(&r.spec)
}

// compile reads the policy, and compiles it with what its host names stand for now.
func (o *runOptions) compile(ctx context.Context, warnings io.Writer) (*document.Compiled, error) {
	file, sandbox := splitPolicy(o.policyFile)
	if file == "-" {
		return nil, errors.New("--policy: standard input may be the program's; name a file")
	}
	d, err := readPolicy(file, nil)
	if err != nil {
		return nil, err
	}
	compiled, err := d.Compile(sandbox, document.Options{})
	if err != nil || len(compiled.Names) == 0 {
		return compiled, err
	}
	addresses := map[string][]netip.Addr{}
	for _, name := range compiled.Names {
		looking, cancel := context.WithTimeout(ctx, resolveTimeout)
		found, err := net.DefaultResolver.LookupNetIP(looking, "ip", name)
		cancel()
		if err != nil {
			_, _ = fmt.Fprintf(warnings, "warning: --policy: %s permits nothing, for it was not found: %v\n", name, err)
		}
		addresses[name] = found
	}
	return d.Compile(sandbox, document.Options{Resolve: addresses})
}

// governedHelp lists the flags that --policy excludes.
func governedHelp() string {
	names := slices.Clone(governed)
	for i := range names {
		names[i] = "--" + names[i]
	}
	return strings.Join(names, ", ")
}
