package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// SealSize is what a seal adds to a record, in bytes.
const SealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal appends a checksum of a record and of where it is kept, so that a record that
// changed, or that turned up in another's place, is found.
func Seal(bucket, key, body []byte) []byte {
	return binary.BigEndian.AppendUint32(body, sum(bucket, key, body))
}

// Open checks a sealed record and returns its body, not copied.
func Open(bucket, key, record []byte) ([]byte, error) {
	if len(record) < SealSize {
		return nil, fmt.Errorf("%w: a record of %d bytes", ErrFormat, len(record))
	}
	body := record[:len(record)-SealSize]
	if got, want := binary.BigEndian.Uint32(record[len(body):]), sum(bucket, key, body); got != want {
		return nil, fmt.Errorf("%w: the checksum is %08x, of a record with %08x", ErrFormat, got, want)
	}
	return body, nil
}

func sum(bucket, key, body []byte) uint32 {
	var size [8]byte
	binary.BigEndian.PutUint32(size[:], uint32(len(bucket)))
	binary.BigEndian.PutUint32(size[4:], uint32(len(key)))
	c := crc32.Update(0, castagnoli, size[:])
	c = crc32.Update(c, castagnoli, bucket)
	c = crc32.Update(c, castagnoli, key)
	return crc32.Update(c, castagnoli, body)
}
