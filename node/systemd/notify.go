package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What the service manager is told.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	alive    = "WATCHDOG=1"
)

// Reloading says that the configuration is being read again; Ready says that it has been.
func Reloading() string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // what Type=notify-reload compares with
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}

// Status is a line for people that `systemctl status` shows.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Notify tells the service manager all of the words.
func Notify(words ...string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	if strings.HasPrefix(name, "@") { // the abstract namespace
		name = "\x00" + name[1:]
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		_, err = c.Write([]byte(strings.Join(words, "\n")))
		err = errors.Join(err, c.Close())
	}
	if err != nil {
		return fmt.Errorf("tell the service manager: %w", err)
	}
	return nil
}

// watchdog is how often the service manager wants to hear that the process is alive; 0: never.
func watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 || usec > int64(24*time.Hour/time.Microsecond) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// Watch tells the watchdog that the process is alive, four times as often as it wants to hear so,
// where isAlive says so within that time. What keeps it from telling goes to failed, and it tries
// again: when it fails for long enough, the watchdog acts. It returns when ctx ends, or at once
// where there is no watchdog.
func Watch(ctx context.Context, isAlive func(context.Context) error, failed func(error)) {
	within := watchdog() / 4
	if within == 0 {
		return
	}
	again := time.NewTicker(within)
	defer again.Stop()
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, within)
		err := isAlive(asking)
		cancel()
		if err == nil {
			err = Notify(alive)
		}
		if err != nil && ctx.Err() == nil {
			failed(fmt.Errorf("watchdog: %w", err))
		}
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}
