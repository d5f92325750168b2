package enroll

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pyisolate/pyisolate/cluster/pki"
)

const (
	// MaxPetition is how many bytes a new node may send.
	MaxPetition = 16 << 10
	// maxAnswer is how many it reads.
	maxAnswer = 1 << 20
)

// Petition is what a new node sends.
type Petition struct {
	// Token is the id of its join token, and Secret the token's secret.
	Token  string `json:"token"`
	Secret []byte `json:"secret"`
	// Name that it wants.
	Name string `json:"name"`
	// Request for a certificate, PKCS #10.
	Request []byte `json:"request"`
	// Address of its port in package wire, and where it gossips, if that is not the port after
	// it: host:port.
	Address string `json:"address"`
	Gossip  string `json:"gossip,omitempty"`
}

// Admission is what the cluster answers.
type Admission struct {
	// Certificate for the key of the request, in DER.
	Certificate []byte `json:"certificate"`
	// Roster of the cluster, encoded: its nodes, their keys and addresses, and the keys of
	// gossip.
	Roster []byte `json:"roster"`
}

// answer is an Admission or the reason that there is none.
type answer struct {
	*Admission
	Refused string `json:"refused,omitempty"`
	Text    string `json:"text,omitempty"`
}

// refusals are the reasons that a new node hears of, by their words.
var refusals = map[string]error{
	"token": pki.ErrToken, "lapsed": pki.ErrLapsed, "used": pki.ErrUsed, "request": pki.ErrRequest, "name": ErrName, "address": ErrAddress,
}

func refuse(err error) answer {
	for word, reason := range refusals {
		if errors.Is(err, reason) {
			return answer{Refused: word, Text: err.Error()}
		}
	}
	return answer{Refused: "other"} // what went wrong is no stranger's business
}

func (a answer) err() error {
	if a.Refused == "" && a.Admission != nil {
		return nil
	}
	if reason, ok := refusals[a.Refused]; ok {
		return fmt.Errorf("%w (the node says: %.500q)", reason, a.Text)
	}
	return ErrNotNow
}

// readPetition reads and checks the form of a petition.
func readPetition(r io.Reader) (Petition, error) {
	var p Petition
	if err := json.NewDecoder(io.LimitReader(r, MaxPetition)).Decode(&p); err != nil {
		return Petition{}, fmt.Errorf("read the petition: %w", err)
	}
	if !pki.ValidName(p.Name) {
		return Petition{}, fmt.Errorf("%w: %.80q cannot name a node", ErrName, p.Name)
	}
	if err := pki.ValidAddress(p.Address); err != nil {
		return Petition{}, fmt.Errorf("%w: %w", pki.ErrRequest, err)
	}
	if err := pki.ValidAddress(p.Gossip); p.Gossip != "" && err != nil {
		return Petition{}, fmt.Errorf("%w: %w", pki.ErrRequest, err)
	}
	return p, nil
}

func readAnswer(r io.Reader) (Admission, error) {
	var a answer
	if err := json.NewDecoder(io.LimitReader(r, maxAnswer)).Decode(&a); err != nil {
		return Admission{}, fmt.Errorf("read the answer: %w", err)
	}
	if err := a.err(); err != nil {
		return Admission{}, err
	}
	return *a.Admission, nil
}
