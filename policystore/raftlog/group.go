package raftlog

import "github.com/hashicorp/raft"

// Last is where the log ends, or the newest snapshot if that is further: 0, 0 of one that has nothing.
func Last(l *Log, snaps raft.SnapshotStore) (index, term uint64, err error) {
	var last raft.Log
	if index, err = l.LastIndex(); err == nil && index > 0 {
		err = l.GetLog(index, &last)
	}
	if err != nil {
		return 0, 0, err
	}
	list, err := snaps.List()
	if err == nil && len(list) > 0 && list[0].Index > last.Index {
		last.Index, last.Term = list[0].Index, list[0].Term
	}
	return last.Index, last.Term, err
}

// DropCovered empties a log that ends before the newest snapshot does, as Raft would have done if the
// node had not died when it got that snapshot: what comes next could not follow.
func DropCovered(l *Log, snaps raft.SnapshotStore) error {
	list, err := snaps.List()
	if err != nil || !covered(l, list) {
		return err
	}
	last, _ := l.LastIndex() // it never fails
	return l.DeleteRange(0, last)
}

func covered(l *Log, list []*raft.SnapshotMeta) bool {
	last, _ := l.LastIndex() // it never fails
	return last > 0 && len(list) > 0 && last < list[0].Index
}

// Servers are the group's as the files have them; nil when they say nothing of any.
func Servers(l *Log, snaps raft.SnapshotStore) ([]raft.Server, error) {
	list, err := snaps.List()
	if err != nil {
		return nil, err
	}
	if covered(l, list) {
		return list[0].Configuration.Servers, nil
	}
	first, _ := l.FirstIndex() // it never fails
	last, _ := l.LastIndex()
	for i := last; i >= first && i > 0; i-- {
		var entry raft.Log
		if err := l.GetLog(i, &entry); err != nil {
			return nil, err
		}
		if entry.Type == raft.LogConfiguration {
			return raft.DecodeConfiguration(entry.Data).Servers, nil
		}
	}
	if len(list) == 0 {
		return nil, nil
	}
	return list[0].Configuration.Servers, nil
}

// Give puts an entry on the log that makes the group that of others, without anybody's vote. It is for a
// group whose voters are no more, or one of a single voter, and is open nowhere: all that is on the disk is agreed
// as soon as those others are a majority.
func Give(l *Log, snaps raft.SnapshotStore, to []raft.Server) error {
	index, term, err := Last(l, snaps)
	if err == nil {
		err = DropCovered(l, snaps)
	}
	if err != nil {
		return err
	}
	return l.StoreLog(&raft.Log{Index: index + 1, Term: term, Type: raft.LogConfiguration,
		Data: raft.EncodeConfiguration(raft.Configuration{Servers: to})})
}
