package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certificatesEvery is how often the files are looked at.
const certificatesEvery = 10 * time.Second

// certificates is what the node shows to clients. New connections get what the files have now;
// while those are no certificate and its key, what they last had.
type certificates struct {
	cert, key string
	logger    *slog.Logger
	now       atomic.Pointer[tls.Certificate]
	mu        sync.Mutex // of load
	seen      [2]fileState
	stop      context.CancelFunc
	done      chan struct{}
}

// fileState is how a file looked.
type fileState struct {
	size int64
	at   time.Time
}

func openCertificates(cert, key string, logger *slog.Logger) (*certificates, error) {
	c := &certificates{cert: cert, key: key, logger: logger, done: make(chan struct{})}
	if err := c.load(); err != nil {
		return nil, err
	}
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	go c.watch(ctx, certificatesEvery)
	return c, nil
}

// config for a listener.
func (c *certificates) config() *tls.Config {
	return &tls.Config{MinVersion: tlsMinVersion, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.now.Load(), nil }}
}

// load takes what the files have now, if that is of use.
func (c *certificates) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := [2]fileState{look(c.cert), look(c.key)}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("node: tls-cert: %s and %s: %w", c.cert, c.key, err)
	}
	c.now.Store(&pair)
	c.seen = seen
	return nil
}

func look(path string) fileState {
	info, err := os.Stat(path)
	if err != nil {
		return fileState{}
	}
	return fileState{info.Size(), info.ModTime()}
}

func (c *certificates) changed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen != [2]fileState{look(c.cert), look(c.key)}
}

// watch loads the files when they have changed, until ctx ends.
func (c *certificates) watch(ctx context.Context, every time.Duration) {
	defer close(c.done)
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		if !c.changed() {
			continue
		}
		if err := c.load(); err != nil { // one of the two may be written just now
			c.logger.Warn("the certificate has changed and is not taken", slog.Any("error", err))
			continue
		}
		c.logger.Info("the certificate has changed and is taken")
	}
}

func (c *certificates) close() {
	c.stop()
	<-c.done
}

// Reload reads again what may change while the node runs: the certificate and its key. On an
// error it keeps what it has.
func (n *Node) Reload() error {
	if n.certs == nil {
		return nil
	}
	return n.certs.load()
}
