package seal_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pyisolate/pyisolate/broker/seal"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsFile = "testdata/vectors.json"

type hexBytes []byte

func (h hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h)), nil }

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// vector is one handshake and a few frames, with all that is in between.
type vector struct {
	Name         string     `json:"name"`
	Suite        string     `json:"suite"`
	Offer        []int      `json:"offer"`
	LaunchSecret hexBytes   `json:"launch_secret"`
	NodeKeySeed  hexBytes   `json:"node_key_seed"`
	NodeRandom   hexBytes   `json:"node_random"`
	HostKeySeed  hexBytes   `json:"host_key_seed"`
	HostRandom   hexBytes   `json:"host_random"`
	Hello        hexBytes   `json:"hello"`
	Answer       hexBytes   `json:"answer"`
	Confirm      hexBytes   `json:"confirm"`
	Shared       hexBytes   `json:"shared_secret"`
	Early        hexBytes   `json:"early"`
	Main         hexBytes   `json:"main"`
	Transcript   hexBytes   `json:"transcript_hash"`
	SessionID    hexBytes   `json:"session_id"`
	NodeToHost   vectorFlow `json:"node_to_host"`
	HostToNode   vectorFlow `json:"host_to_node"`
}

// vectorFlow is one direction. RekeyFrames is the sender's threshold here.
type vectorFlow struct {
	RekeyFrames uint64        `json:"rekey_frames"`
	Epochs      []vectorEpoch `json:"epochs"`
	Frames      []vectorFrame `json:"frames"`
}

type vectorEpoch struct {
	Secret hexBytes `json:"secret"`
	Key    hexBytes `json:"key"`
	Salt   hexBytes `json:"salt"`
}

type vectorFrame struct {
	Epoch     int      `json:"epoch"`
	Number    uint32   `json:"number"`
	Plaintext hexBytes `json:"plaintext"`
	Frame     hexBytes `json:"frame"`
}

func count(from byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

// inputs are all that a vector is made of.
func inputs(name, suite string, hostSeed int, offer ...int) vector {
	return vector{
		Name: name, Suite: suite, Offer: offer,
		LaunchSecret: launchSecret(), NodeKeySeed: count(0x21, 32), NodeRandom: count(0x41, 32),
		HostKeySeed: count(0x61, hostSeed), HostRandom: count(0xa1, 32),
		NodeToHost: vectorFlow{RekeyFrames: 2, Frames: []vectorFrame{
			{Plaintext: hexBytes("first to the host")}, {Plaintext: hexBytes{}},
			{Plaintext: hexBytes("under the next key")}}},
		HostToNode: vectorFlow{RekeyFrames: 1, Frames: []vectorFrame{
			{Plaintext: hexBytes("first to the node")}, {Plaintext: hexBytes("under the next key")}}},
	}
}

func (v *vector) suites() (suites []seal.Suite) {
	for _, id := range v.Offer {
		suites = append(suites, seal.Suite(id))
	}
	return suites
}

func (v *vector) config(t testing.TB, flow *vectorFlow, random ...[]byte) seal.Config {
	t.Helper()
	return seal.Config{
		Secret: must(seal.NewSecret(slices.Clone(v.LaunchSecret)))(t),
		Suites: v.suites(), RekeyFrames: flow.RekeyFrames,
	}.WithRandom(bytes.NewReader(slices.Concat(random...)))
}

func (v *vector) node(t testing.TB) seal.Config {
	return v.config(t, &v.NodeToHost, v.NodeKeySeed, v.NodeRandom)
}

func (v *vector) host(t testing.TB) seal.Config {
	return v.config(t, &v.HostToNode, v.HostKeySeed, v.HostRandom)
}

// fill computes all outputs of v from its inputs: messages with the package,
// everything between them with the second implementation.
func (v *vector) fill(t testing.TB) {
	in, hello, err := seal.NewInitiator(v.node(t))
	if err != nil {
		t.Fatal(err)
	}
	defer in.Destroy()
	r := must(seal.NewResponder(v.host(t)))(t)
	defer r.Destroy()
	v.Hello, v.Answer = hello, must(r.Answer(hello))(t)
	ref := must(newReference(v.Offer[0], v.LaunchSecret, v.NodeKeySeed, v.Hello, v.Answer))(t)
	v.Confirm, v.Shared, v.Early, v.Main = ref.confirm, ref.shared, ref.early, ref.main
	v.Transcript, v.SessionID = ref.transcript, ref.id
	v.NodeToHost.fill(t, ref.nodeToHost, ref.id)
	v.HostToNode.fill(t, ref.hostToNode, ref.id)
}

func (f *vectorFlow) fill(t testing.TB, secret, id []byte) {
	epochs := refEpochs(secret, f.RekeyFrames)
	f.Epochs = nil
	for _, e := range epochs {
		f.Epochs = append(f.Epochs, vectorEpoch(e))
	}
	for i := range f.Frames {
		frame := &f.Frames[i]
		frame.Epoch, frame.Number = i/int(f.RekeyFrames), uint32(i)%uint32(f.RekeyFrames)
		counter := uint64(frame.Epoch)<<32 | uint64(frame.Number)
		frame.Frame = must(refFrame(epochs[frame.Epoch], id, counter, frame.Plaintext))(t)
	}
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	var vectors []vector
	if err := json.Unmarshal(must(os.ReadFile(vectorsFile))(t), &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

// The published vectors are what the second implementation computes from the
// inputs. A difference means that the wire changed, which needs a new version.
func TestVectorsAreWhatTheTextSays(t *testing.T) {
	want := []vector{
		inputs("hybrid", "xwing", 64, 1),
		inputs("hybrid, both suites allowed", "xwing", 64, 1, 2),
		inputs("classical", "x25519", 32, 2),
	}
	for i := range want {
		want[i].fill(t)
	}
	if *update {
		text := append(must(json.MarshalIndent(want, "", "  "))(t), '\n')
		if err := os.WriteFile(vectorsFile, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, readVectors(t)); d != "" {
		t.Errorf("%s differs (-computed +published):\n%s", vectorsFile, d)
	}
}

func TestVectorsInBothRoles(t *testing.T) {
	for _, v := range readVectors(t) {
		t.Run(v.Name, func(t *testing.T) {
			in, hello, err := seal.NewInitiator(v.node(t))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "hello", hello, v.Hello)
			confirm, node, err := in.Finish(v.Answer)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "confirm", confirm, v.Confirm)

			r := must(seal.NewResponder(v.host(t)))(t)
			same(t, "answer", must(r.Answer(v.Hello))(t), v.Answer)
			host := must(r.Finish(v.Confirm))(t)

			for role, s := range map[string]*seal.Session{"node": node, "host": host} {
				same(t, role+"'s session id", s.ID[:], v.SessionID)
				if s.Suite.String() != v.Suite {
					t.Errorf("%s's suite is %v", role, s.Suite)
				}
			}
			checkFrames(t, "node to host", &v.NodeToHost, node.Out, host.In)
			checkFrames(t, "host to node", &v.HostToNode, host.Out, node.In)
		})
	}
}

func checkFrames(t *testing.T, name string, f *vectorFlow, out *seal.Sealer, in *seal.Opener) {
	t.Helper()
	for _, frame := range f.Frames {
		same(t, name+": frame", must(out.Seal(nil, frame.Plaintext))(t), frame.Frame)
		same(t, name+": plaintext", must(in.Open(slices.Clone(frame.Frame)))(t), frame.Plaintext)
	}
}

func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is\n%x, want\n%x", what, got, want)
	}
}

// docs/protocol.md prints the classical vector; it must be the published one.
func TestProtocolTextPrintsTheVector(t *testing.T) {
	text := string(must(os.ReadFile("../../docs/protocol.md"))(t))
	printed := strings.Join(strings.Fields(text), "")
	vectors := readVectors(t)
	v := vectors[slices.IndexFunc(vectors, func(v vector) bool { return v.Name == "classical" })]
	values := map[string]hexBytes{
		"launch secret": v.LaunchSecret, "node key": v.NodeKeySeed, "node random": v.NodeRandom,
		"host key": v.HostKeySeed, "host random": v.HostRandom,
		"hello": v.Hello, "answer": v.Answer, "confirm": v.Confirm,
		"shared": v.Shared, "early": v.Early, "main": v.Main, "transcript": v.Transcript,
		"session id": v.SessionID,
	}
	flows := map[string]vectorFlow{"node to host": v.NodeToHost, "host to node": v.HostToNode}
	for name, flow := range flows {
		for i, e := range flow.Epochs {
			values[fmt.Sprint(name, " key ", i)], values[fmt.Sprint(name, " salt ", i)] = e.Key, e.Salt
		}
		for i, f := range flow.Frames {
			values[fmt.Sprint(name, " frame ", i)] = f.Frame
		}
	}
	for name, value := range values {
		if !strings.Contains(printed, hex.EncodeToString(value)) {
			t.Errorf("%s is not in docs/protocol.md as\n%x", name, value)
		}
	}
}
