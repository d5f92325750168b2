package node

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"connectrpc.com/connect"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// A file whose stream breaks off is not taken in, also when all of it had come: its sender knows nothing of it.
func TestImportThatBreaksOff(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	s.spawn(&pb.SpawnRequest{Name: "a"})
	kept := s.checkpoint("a")
	message, err := json.Marshal(map[string][]byte{"data": s.export(kept.GetId(), "")})
	s.must(err)
	_, err = calls.Cells.DeleteCheckpoint(t.Context(), connect.NewRequest(&pb.DeleteCheckpointRequest{Id: kept.GetId()}))
	s.must(err)

	c, err := net.Dial("unix", n.Config().Socket)
	s.must(err)
	defer func() { _ = c.Close() }()
	chunk := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	_, err = fmt.Fprintf(c, "POST /pyisolate.v1.CellService/ImportCheckpoint HTTP/1.1\r\nHost: node\r\n"+
		"Content-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(chunk), chunk)
	s.must(errors.Join(err, c.(*net.UnixConn).CloseWrite())) // without the last chunk
	answer, err := io.ReadAll(c)
	if err != nil || !strings.Contains(string(answer), "broke off") {
		t.Errorf("%s, %v", answer, err)
	}
	left, err := calls.Cells.ListCheckpoints(t.Context(), connect.NewRequest(&pb.ListCheckpointsRequest{}))
	s.must(err)
	if len(left.Msg.GetCheckpoints()) > 0 {
		t.Errorf("the node keeps %v", left.Msg.GetCheckpoints())
	}
}

// What one message of a file may have is bounded from the first on, before it is held.
func TestImportOfHugeMessages(t *testing.T) {
	n, calls, _ := opened(t, nil)
	s := story{t, n, calls}
	for size, want := range map[int]string{1 << 20: "does not begin with", 1<<20 + 1: "1048576 is the most", 2 << 20: "larger than"} {
		in := calls.Cells.ImportCheckpoint(t.Context())
		_ = in.Send(&pb.ImportCheckpointRequest{Data: make([]byte, size)})
		if _, err := in.CloseAndReceive(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}

	c, err := net.Dial("unix", n.Config().Socket)
	s.must(err)
	defer func() { _ = c.Close() }()
	head := binary.BigEndian.AppendUint32([]byte{0}, 32<<20) // of a message, of which nothing comes
	_, err = fmt.Fprintf(c, "POST /pyisolate.v1.CellService/ImportCheckpoint HTTP/1.1\r\nHost: node\r\n"+
		"Content-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(head), head)
	s.must(errors.Join(err, c.(*net.UnixConn).CloseWrite()))
	if answer, err := io.ReadAll(c); err != nil || !strings.Contains(string(answer), "larger than") {
		t.Errorf("%s, %v", answer, err)
	}
}
