// Package boltfile checks a bbolt file before bbolt maps it.
package boltfile
