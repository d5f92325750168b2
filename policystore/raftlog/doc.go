// Package raftlog is Raft's log and stable store on one bbolt file.
package raftlog
