// Package systemd speaks with the service manager that has started this process, if one has:
// sockets that it hands over, its watchdog, and what it is told (sd_notify(3),
// sd_listen_fds(3)). Without a service manager all of it does nothing.
//
// Owner of goroutines: [Watch] is one of the caller's.
package systemd
