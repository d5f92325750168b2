package ring

import (
	"os"
	"regexp"
	"strconv"
	"testing"

	"github.com/pyisolate/pyisolate/kernel/policy"
)

// The C header's assertions are the source; every offset here must agree.
func TestLayoutMatchesHeader(t *testing.T) {
	text, err := os.ReadFile("../cpython/ring.h")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]int{"in_head": offInHead, "in_tail": offInTail, "out_head": offOutHead,
		"out_tail": offOutTail, "ctl_seq": offCtlSeq, "ctl_op": offCtlOp, "mem_used": offMemUsed,
		"denials": offDenials, "threads": offThreads, "threads_cpu": offThreadsCPU, "rules": offRules, "worker": offWorker, "trace": offTrace}
	re := regexp.MustCompile(`_Static_assert\(offsetof\(ring_hdr, (\w+)\) == (\d+)`)
	found := re.FindAllSubmatch(text, -1)
	if len(found) < len(ours) {
		t.Fatalf("ring.h asserts %d offsets, want at least %d", len(found), len(ours))
	}
	for _, m := range found {
		name := string(m[1])
		want, _ := strconv.Atoi(string(m[2]))
		if got, ok := ours[name]; !ok || got != want {
			t.Errorf("offset of %s is %d here (known: %v), %d in ring.h", name, got, ok, want)
		}
	}
}

func TestNumbersMatchHeader(t *testing.T) {
	text, err := os.ReadFile("../cpython/ring.h")
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string]int{
		"IN_CLAIM": int(InClaim), "IN_EXEC": int(InExec), "IN_CALL": int(InCall),
		"IN_ANSWER": int(InAnswer), "IN_CLOSE": int(InClose), "IN_SAVE": int(InSave), "IN_RESTORE": int(InRestore),
		"OUT_READY": int(OutReady), "OUT_RESULT": int(OutResult), "OUT_ERROR": int(OutError),
		"OUT_POST": int(OutPost), "OUT_LOG": int(OutLog), "OUT_METRIC": int(OutMetric),
		"OUT_RECV": int(OutRecv), "OUT_REQUEST": int(OutRequest), "OUT_DENIAL": int(OutDenial),
		"OUT_ENDED": int(OutEnded), "OUT_CHUNK": int(OutChunk), "OUT_MORE": int(OutMore),
		"FLAG_RAW": int(Raw), "FLAG_ERROR": int(Error), "FLAG_NONE": int(None),
		"FLAG_STDIN": int(Stdin), "FLAG_RESTRICTED": int(Restricted), "FLAG_CODE": int(Code), "FLAG_PART": int(Part),
		"FLAG_BOUND":    int(Bound),
		"POLICY_SHARED": PolicyShared, "RULES_NETWORK": rulesNetwork, "RULES_ALL_IMPORTS": rulesAllImports,
		"ACCESS_READ": int(policy.Read), "ACCESS_WRITE": int(policy.Write),
		"ACCESS_EXECUTE": int(policy.Execute), "RING_STARTING": int(Starting), "RING_FAILED": int(Failed),
	}
	for name, want := range ours {
		re := regexp.MustCompile(`\b` + name + ` = (\d+)`)
		m := re.FindSubmatch(text)
		if m == nil {
			t.Errorf("ring.h does not number %s", name)
			continue
		}
		if got, _ := strconv.Atoi(string(m[1])); got != want {
			t.Errorf("%s is %d in ring.h, %d here", name, got, want)
		}
	}
}
