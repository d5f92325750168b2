package enroll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// petitionTime is how long a new node may take to send its petition.
	petitionTime = 5 * time.Second
	// admitTime is how long the cluster may take to decide.
	admitTime = 15 * time.Second
)

// Why a node is not admitted, beside package pki's reasons.
var (
	// ErrName: another node has the name, or it is no name.
	ErrName = errors.New("the name of the node is not free")
	// ErrAddress: another node is where this one would be.
	ErrAddress = errors.New("the address of the node is not free")
	// ErrNotNow: the cluster cannot admit nodes now; the log of the node that was asked says why,
	// if there is not too much to say.
	ErrNotNow = errors.New("the cluster does not admit the node now")
)

// Config of [Serve].
type Config struct {
	// Admit lets a node in, or tells why not: pki's errors about tokens, [ErrName], [ErrAddress], or anything
	// else, of which the new node does not hear. Whatever it has agreed on must stand when it
	// returns. Its context ends when its time is up. Several run at once.
	Admit func(ctx context.Context, p Petition) (Admission, error)
	// Logger hears of who was admitted and who not; of those who were not, no more than of some. nil discards.
	Logger *slog.Logger

	quiet *rate.Limiter // of what strangers can have logged
}

// Serve answers new nodes until the listener, of the stream wire.Join, is closed, or ctx ends. The
// wire bounds how many there are, and for how long each may stay.
func Serve(ctx context.Context, l net.Listener, c Config) error {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.quiet = rate.NewLimiter(1, 5)
	ctx, cancel := context.WithCancel(ctx)
	defer context.AfterFunc(ctx, func() { _ = l.Close() })()
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		work.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer func() { _ = conn.Close() }()
			c.answer(ctx, conn)
		})
	}
}

func (c Config) answer(ctx context.Context, conn net.Conn) {
	log := c.Logger.With("address", conn.RemoteAddr().String())
	_ = conn.SetReadDeadline(time.Now().Add(petitionTime))
	p, err := readPetition(conn)
	var out answer
	if err == nil {
		log = log.With("node", p.Name, "token", fmt.Sprintf("%.40s", p.Token))
		ctx, cancel := context.WithTimeout(ctx, admitTime)
		defer cancel()
		var a Admission
		a, err = c.Admit(ctx, p)
		out.Admission = &a
	}
	if err != nil {
		if c.quiet.Allow() {
			log.Warn("a node is not admitted", "error", fmt.Sprintf("%.400s", err)) // it may have a stranger's words
		}
		out = refuse(err)
	} else {
		log.Info("a node is admitted")
	}
	if err := json.NewEncoder(conn).Encode(out); err != nil {
		log.Info("the answer to a new node is lost", "error", err)
	}
}
