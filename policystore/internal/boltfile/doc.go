// Package boltfile opens bbolt files for a store that must not lose what it acknowledged.
//
// bbolt checks little when it opens a file: that one of its two meta pages is sound. A file
// that is too short kills the process when a missing page is touched, a damaged page panics
// or hides records, a damaged free list lets later writes overwrite live pages, and a
// damaged meta page takes the file back by one transaction without a word. [Check] reads a
// file by plain reads before bbolt maps it and names the first thing that is wrong. What it
// cannot see is a change of the bytes of keys and values, or of the size of the last of a
// page: the packages above seal their records, count them and sum them up.
//
// A meta page is written within one sector, which disks write whole or not at all. A meta
// page that is not sound is therefore taken for damage and not for a write that was cut off,
// although bbolt would go on with the other.
//
// Files are made beside their place and renamed into it, so a file that exists was once
// complete.
package boltfile
