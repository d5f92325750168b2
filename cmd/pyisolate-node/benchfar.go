package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pyisolate/pyisolate/broker/seal"
	"github.com/pyisolate/pyisolate/broker/transport"
	"github.com/pyisolate/pyisolate/cell/wire"
	"github.com/pyisolate/pyisolate/internal/spin"
)

// newBenchChannel is the process at the far end of a channel.
func newBenchChannel() *cobra.Command {
	return &cobra.Command{Use: "bench-channel echo|flood|plain-echo|plain-flood|idle SIZE COUNT", Hidden: true, Args: cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			size, err1 := strconv.Atoi(args[1])
			count, err2 := strconv.Atoi(args[2])
			if err := errors.Join(err1, err2); err != nil {
				return usageError{err}
			}
			if strings.HasSuffix(args[0], "flood") {
				runtime.GOMAXPROCS(1)
			}
			switch args[0] {
			case "plain-echo":
				return plainFar(func(c net.Conn) error { _, err := io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}); return err })
			case "plain-flood":
				return plainFar(func(c net.Conn) error { return floodPlain(c, size, count) })
			case "idle":
				return reportIdleChannels(c.OutOrStdout(), count)
			case "echo":
				return sealedFar(echo)
			}
			return sealedFar(func(c wire.Conn) error { return flood(c, size, count) })
		}}
}

func plainFar(serve func(net.Conn) error) error {
	f := os.NewFile(farSocketFD, "socket")
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := serve(c); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	return c.Close()
}

// sealedFar serves until the other end closes.
func sealedFar(serve func(wire.Conn) error) error {
	secret, err := seal.ReadSecret(os.NewFile(farSecretFD, "secret"))
	if err != nil {
		return err
	}
	c, err := wire.Accept(transport.NewSocket(os.NewFile(farSocketFD, "socket")), seal.Config{Secret: secret})
	if err != nil {
		return err
	}
	if err := serve(c); !errors.Is(err, wire.ErrClosed) {
		return err
	}
	return c.Close()
}

// echo answers as a host does: what is there together leaves together.
func echo(c wire.Conn) error {
	looking := new(spin.Spinner)
	for {
		m, err := c.TryRecv()
		if m == nil && err == nil {
			if err = c.Flush(); err == nil {
				m, err = nextMessage(c, looking)
			}
		}
		if err == nil {
			err = c.Queue(m)
		}
		if err != nil {
			return err
		}
	}
}

// flood sends so many messages each time it is asked, and what processor time that
// took.
func flood(c wire.Conn, size, count int) error {
	m := postOf(size)
	for {
		if _, err := c.Recv(); err != nil {
			return err
		}
		begun := processorTime()
		for n := range count {
			if err := c.Queue(m); err != nil {
				return err
			}
			if n%floodBatch != floodBatch-1 {
				continue
			}
			if err := c.Flush(); err != nil {
				return err
			}
		}
		used := float64(processorTime() - begun)
		if err := c.Send(wire.New(0, 0, &wire.Control_Metric{Metric: &wire.Metric{Value: used}}, nil)); err != nil {
			return err
		}
	}
}

// floodPlain is flood of bytes, with as many in a write.
func floodPlain(c net.Conn, size, count int) error {
	buf := make([]byte, size*floodBatch)
	var word [8]byte
	for {
		if _, err := io.ReadFull(c, word[:]); err != nil {
			return err
		}
		begun := processorTime()
		for range count / floodBatch {
			if _, err := c.Write(buf); err != nil {
				return err
			}
		}
		binary.LittleEndian.PutUint64(word[:], uint64(processorTime()-begun))
		if _, err := c.Write(word[:]); err != nil {
			return err
		}
	}
}

// floodedPlain is the near end of floodPlain.
func floodedPlain(c net.Conn, size int) (time.Duration, error) {
	var word [8]byte
	if _, err := c.Write(word[:]); err != nil {
		return 0, err
	}
	buf := make([]byte, 64<<10)
	for left := size; left > 0; {
		n, err := c.Read(buf[:min(left, len(buf))])
		if err != nil {
			return 0, err
		}
		left -= n
	}
	_, err := io.ReadFull(c, word[:])
	return time.Duration(binary.LittleEndian.Uint64(word[:])), err
}
