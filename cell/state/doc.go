// Package state is the stream that a cell's snapshot is: records of bytes that nobody but a
// cell makes objects of, with values beside them. Package launch writes it and reads it back.
//
// A stream begins with [Magic] and a version. Each record is its kind (one byte), the length of
// its payload (u32, little-endian), the payload, and the CRC-32C of all that the stream holds up
// to here, so that no record can be lost, repeated or moved. Records come in the order of their
// kinds, the last is [End]. The sums are against accidents: who can write can make them, and so
// streams are sealed by whoever keeps them.
//
// Compatibility: a version is read as long as a Python is supported that needs it. Another one
// is refused by its number.
//
// A Writer and a Reader belong to one goroutine each.
package state
