package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// hostile has what clears a screen, rings, sets a title in one byte, turns text around, and
// what looks like a line of the command's own.
const hostile = "\x1b[2J\x07\u009b0m\u202etxt\r\ndenied: fs: forged\u2028x\x7f\U000e0001"

// streamed are all kinds of things that a guest says, each with text that means harm.
func streamed() []*pb.StreamResponse {
	quoted, _ := json.Marshal(hostile)
	loose := strings.NewReplacer(`\u2028`, "\u2028").Replace(string(quoted)) // JSON too
	return []*pb.StreamResponse{
		{Item: &pb.StreamResponse_Log{Log: &pb.Log{Level: "stdout", Message: hostile}}},
		{Item: &pb.StreamResponse_Log{Log: &pb.Log{Level: hostile, Message: hostile}}},
		{Item: &pb.StreamResponse_Log{Log: &pb.Log{Level: "info", Message: "m", Fields: `{"a":` + loose + `}`}}},
		{Item: &pb.StreamResponse_Metric{Metric: &pb.Metric{Name: hostile, Value: 1}}},
		{Item: &pb.StreamResponse_Denial{Denial: &pb.Denial{Capability: hostile, Action: hostile}}},
		{Item: &pb.StreamResponse_Error{Error: &pb.ErrorDetail{Kind: "PolicyDenied", Message: hostile}}},
	}
}

func controls(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) })
}

// Whatever a guest says beside its posts moves no cursor, and is one line of its kind.
func TestGuestsControlNoTerminal(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		for i, m := range streamed() {
			var out, said bytes.Buffer
			r := &remote{out: &out, asJSON: asJSON}
			r.guest(&said).received(m)
			text := out.String() + said.String()
			if controls(text) || strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") {
				t.Errorf("%d, JSON %t: %q", i, asJSON, text)
			}
			if asJSON && !json.Valid(out.Bytes()) {
				t.Errorf("%d is no JSON: %s", i, text)
			}
		}
	}
	m := &pb.StreamResponse{Item: &pb.StreamResponse_Error{Error: &pb.ErrorDetail{Kind: "GuestError", Traceback: "Traceback:\n\t" + hostile}}}
	var said bytes.Buffer
	(&remote{out: &said}).guest(&said).received(m)
	if text := said.String(); controls(strings.ReplaceAll(text, "\t", "")) || !strings.HasPrefix(text, "Traceback:\n\t") {
		t.Errorf("%q", text)
	}
}

// The same of run, whose program is not trusted either.
func TestRunsProgramControlsNoTerminal(t *testing.T) {
	const program = `
h = "\x1b[2J\x07\x9b0m\u202etxt\r\ndenied: forged"
log(h, h); metric(h, 1); print("tab\tand", "\x1b[2J", sep="")
raise ValueError(h)
`
	for _, c := range []struct {
		flags   []string
		escaped bool
	}{{nil, true}, {[]string{"--json"}, true}, {[]string{"--raw"}, false}} {
		var out, said bytes.Buffer
		command := exec.CommandContext(t.Context(), "/proc/self/exe")
		command.Args = slices.Concat([]string{"pyisolate-node", "run"}, c.flags, []string{"-c", program})
		command.Env, command.Stdout, command.Stderr = append(os.Environ(), mainEnv+"=1"), &out, &said
		_ = command.Run() // the program raises
		text := strings.ReplaceAll(out.String()+said.String(), "\t", "")
		if controls(text) == c.escaped || c.escaped && strings.Contains(strings.Split(text, "Traceback")[0], "\ndenied: forged") {
			t.Errorf("run %v: %q", c.flags, text)
		}
		if len(c.flags) == 0 && !strings.Contains(said.String(), "tab\tand\\x1b[2J\n") {
			t.Errorf("a tab is not kept: %q", said.String())
		}
	}
}

// JSON means what it meant, and what is asked for as it is comes so.
func TestGuestsTextIsKept(t *testing.T) {
	var out, said bytes.Buffer
	log := &pb.StreamResponse{Item: &pb.StreamResponse_Log{Log: &pb.Log{Level: "info", Message: hostile}}}
	(&remote{out: &out, asJSON: true}).guest(&said).received(log)
	var e event
	if err := json.Unmarshal(out.Bytes(), &e); err != nil || e.Log.Message != hostile {
		t.Errorf("%v: %+v", err, e.Log)
	}
	(&remote{out: &out, raw: true}).guest(&said).received(log)
	if got := said.String(); got != "info: "+hostile+"\n" {
		t.Errorf("--raw: %q", got)
	}
	quoted, _ := json.Marshal(hostile)
	post := valueOf(&pb.Value{Kind: &pb.Value_Json{Json: string(quoted)}})
	out.Reset()
	(&remote{out: &out}).value(post) // no terminal
	if got := out.String(); got != hostile+"\n" {
		t.Errorf("in a pipe: %q", got)
	}
	out.Reset()
	(&printer{out: &out, escapesPosts: true}).post(post)
	if controls(out.String()) {
		t.Errorf("on a terminal: %q", out.String())
	}
}
