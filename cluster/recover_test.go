package cluster

import (
	"errors"
	"testing"
	"time"

	"github.com/pyisolate/pyisolate/cluster/group"
	"github.com/pyisolate/pyisolate/cluster/pki"
	"github.com/pyisolate/pyisolate/cluster/roster"
	"github.com/pyisolate/pyisolate/internal/loopback"
)

// A node that was about to be removed would make a cluster in which it never votes beside others.
func TestRecoverTheRetired(t *testing.T) {
	t.Parallel()
	n1 := found(t, "n1")
	if _, err := Examine(soon(t), n1.dir); err != nil {
		t.Errorf("it could not be recovered before: %v", err)
	}
	k, err := readRoster(n1.dir)
	must(t, err)
	token, err := pki.NewToken(pki.Fingerprint{}, []string{loopback.Address()})
	must(t, err)
	v, err := token.Invite("", time.Now(), time.Hour)
	must(t, err)
	for _, c := range []roster.Command{
		{Op: roster.Invite, Invite: &v},
		{Op: roster.Admit, ID: v.ID, Secret: token.Secret(), Name: "n2", Address: loopback.Address(), Key: make([]byte, 32), Until: time.Now().Add(time.Hour)},
		{Op: roster.Retire, Name: "n1"},
	} {
		_, err := k.roster.Apply(c)
		must(t, err)
	}
	must(t, writeRoster(n1.dir, k))
	if s, err := Examine(soon(t), n1.dir); !errors.Is(err, group.ErrNoVoter) || s.Node != "n1" {
		t.Errorf("%+v, %v", s, err)
	}
}
