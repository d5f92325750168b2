package main

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

type pullFlags struct {
	every            time.Duration
	sha256, key      string
	otherHosts, stop bool
}

func newPolicyPull() *cobra.Command {
	var f pullFlags
	c := &cobra.Command{
		Use:   "pull [NAME [URL]]",
		Short: "Have the node fetch a policy over HTTP or HTTPS, once or regularly",
		Long: `Have the node fetch a policy over HTTP or HTTPS, verify it, and store it as the next
version unless the newest is the same. With --every the node repeats this, also after a
restart, until --stop. A document that fails the verification, is too large or has errors
changes nothing. Without NAME, the command lists the sources that the node follows, and
their state.

--ed25519-key verifies a detached signature, which the node fetches from the URL with .sig
after its path: 64 bytes, or these in base64. It signs NAME, a zero byte and the document.
The key is 32 bytes in hexadecimal or base64, or a PEM file. http:// needs it or --sha256.`,
		Example: `  pyisolate-node policy pull web https://policies.example.com/web.yml --every 30s --ed25519-key team.pub
  pyisolate-node policy pull
  pyisolate-node policy pull web --stop`,
		Args: cobra.MaximumNArgs(2),
	}
	c.Flags().DurationVar(&f.every, "every", 0, "repeat this long after each try, 5s to 24h (default: once)")
	c.Flags().StringVar(&f.sha256, "sha256", "", "the SHA-256 that the document must have, in hexadecimal")
	c.Flags().StringVar(&f.key, "ed25519-key", "", "the public key that verifies the document's signature, or a file that contains it")
	c.Flags().BoolVar(&f.otherHosts, "other-hosts", false, "allow redirects to other hosts")
	c.Flags().BoolVar(&f.stop, "stop", false, "stop following the source of NAME; the policy stays")
	fetches := []string{"every", "sha256", "ed25519-key", "other-hosts"}
	for _, name := range fetches {
		c.MarkFlagsMutuallyExclusive("stop", name)
	}
	return newRemote(c, func(ctx context.Context, r *remote, args []string) error {
		switch {
		case len(args) < 2 && slices.ContainsFunc(fetches, c.Flags().Changed):
			return usageError{errors.New("--every, --sha256, --ed25519-key and --other-hosts are of what is fetched: give NAME and URL")}
		case len(args) == 0 && !f.stop:
			return r.sources(ctx)
		case len(args) == 1 && f.stop:
			_, err := r.Policies.RemoveSource(ctx, connect.NewRequest(&pb.RemoveSourceRequest{Name: args[0]}))
			if err == nil {
				r.show(map[string]string{"stopped": args[0]}, "stopped: %s is not pulled any more", args[0])
			}
			return err
		case len(args) != 2 || f.stop:
			return usageError{errors.New("give NAME and URL to pull, NAME and --stop to end it, or nothing to list sources")}
		}
		return r.pull(ctx, &f, args[0], args[1])
	})
}

func (r *remote) pull(ctx context.Context, f *pullFlags, name, url string) error {
	sum, key, err := f.proof()
	if err != nil {
		return usageError{err}
	}
	answer, err := r.Policies.Pull(ctx, connect.NewRequest(&pb.PullRequest{Name: name, Url: url, OtherHosts: f.otherHosts,
		Sha256: sum, Ed25519Key: key, Every: durationpb.New(f.every)}))
	if err != nil {
		return err
	}
	if answer.Msg.GetChanged() {
		r.changed("pulled", answer.Msg.GetVersion())
	} else {
		r.changed("unchanged", answer.Msg.GetVersion())
	}
	return nil
}

// proof reads the hash and the key.
func (f *pullFlags) proof() (sum, key []byte, err error) {
	if f.sha256 != "" {
		if sum, err = hex.DecodeString(f.sha256); err != nil || len(sum) != sha256.Size {
			return nil, nil, fmt.Errorf("--sha256: %q is not %d hexadecimal digits", f.sha256, 2*sha256.Size)
		}
	}
	if f.key != "" {
		key, err = publicKey(f.key)
	}
	return sum, key, err
}

// publicKey is 32 bytes in hexadecimal or base64, or a PEM file with a key.
func publicKey(text string) ([]byte, error) {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if key, err := decode(text); err == nil && len(key) == ed25519.PublicKeySize {
			return key, nil
		}
	}
	data, err := os.ReadFile(text)
	if err != nil {
		return nil, fmt.Errorf("--ed25519-key: %q is no key, and no file: %w", text, err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("--ed25519-key: %s is not in PEM", text)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	key, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("--ed25519-key: %s has no Ed25519 public key; make one with: openssl pkey -in KEY -pubout", text)
	}
	return key, nil
}

// sourceJSON is a source as --json prints it.
type sourceJSON struct {
	Name      string     `json:"name"`
	URL       string     `json:"url"`
	Every     string     `json:"every"`
	SHA256    string     `json:"sha256,omitempty"`
	Key       string     `json:"ed25519_key,omitempty"`
	Principal string     `json:"principal"`
	LastOK    *time.Time `json:"last_ok,omitempty"`
	LastTry   *time.Time `json:"last_try,omitempty"`
	NextTry   *time.Time `json:"next_try,omitempty"`
	LastError string     `json:"last_error,omitempty"`
	Failures  uint32     `json:"failures,omitempty"`
}

func (r *remote) sources(ctx context.Context) error {
	answer, err := r.Policies.ListSources(ctx, connect.NewRequest(&pb.ListSourcesRequest{}))
	if err != nil {
		return err
	}
	list(r, "NAME\tEVERY\tLAST OK\tNEXT TRY\tURL\tERROR", answer.Msg.GetSources(), sourceJSONOf, func(s *pb.Source) string {
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", s.GetName(), s.GetEvery().AsDuration(), when(s.GetLastOk()), when(s.GetNextTry()), plain(s.GetUrl()), plain(s.GetLastError()))
	})
	return nil
}

func sourceJSONOf(s *pb.Source) sourceJSON {
	return sourceJSON{s.GetName(), s.GetUrl(), s.GetEvery().AsDuration().String(), hexOf(s.GetSha256()), hexOf(s.GetEd25519Key()), s.GetPrincipal(), momentOf(s.GetLastOk()),
		momentOf(s.GetLastTry()), momentOf(s.GetNextTry()), s.GetLastError(), s.GetFailures()}
}
