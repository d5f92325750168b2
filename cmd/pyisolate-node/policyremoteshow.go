package main

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/pyisolate/pyisolate/api/proto/pyisolate/v1"
)

// versionJSON is a version as --json prints it.
type versionJSON struct {
	Name    string     `json:"name"`
	Version uint64     `json:"version"`
	Index   uint64     `json:"index"`
	SHA256  string     `json:"sha256,omitempty"`
	Author  string     `json:"author"`
	Comment string     `json:"comment,omitempty"`
	Time    *time.Time `json:"time"`
	Deleted bool       `json:"deleted,omitempty"`
	Source  string     `json:"source,omitempty"`
	Text    string     `json:"text,omitempty"`
}

func versionJSONOf(v *pb.Version) versionJSON {
	return versionJSON{Name: v.GetName(), Version: v.GetNumber(), Index: v.GetIndex(), SHA256: hexOf(v.GetHash()), Author: v.GetAuthor(),
		Comment: v.GetComment(), Time: momentOf(v.GetTime()), Deleted: v.GetDeleted(), Source: v.GetSource(), Text: string(v.GetText())}
}

// hashOf is the beginning of a version's hash, or that there is none.
func hashOf(v *pb.Version) string {
	if v.GetDeleted() {
		return "(deleted)"
	}
	return fmt.Sprintf("%.6x", v.GetHash())
}

// commentOf is what is to be said of a version beside who made it.
func commentOf(v *pb.Version) string {
	if v.GetSource() == "" {
		return plain(v.GetComment())
	}
	return plain(fmt.Sprintf("%s [%s]", v.GetComment(), v.GetSource()))
}

func hexOf(b []byte) string { return fmt.Sprintf("%x", b) }

// momentOf is nil for no time.
func momentOf(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	at := t.AsTime()
	return &at
}

// when is a time for people; "-" is none.
func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}
