// Package secrets is the capability secrets.get: named values that the node has and
// a guest may use.
//
// A value exists here as a [Redacted], which no format, encoder or logger shows; it
// is revealed once, into the answer. Names are in records, values never. What the
// guest then does with it is the guest's: a cell that is granted a secret can post
// it.
package secrets
