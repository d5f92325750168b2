package refresh

import "errors"

var (
	// ErrUnavailable: the server did not give the document, or not in time. It may later.
	ErrUnavailable = errors.New("refresh: not available")
	// ErrRefused: what the server did is not permitted, or what it gave is not what was asked
	// for. Trying again is of no use until the server or the source changes.
	ErrRefused = errors.New("refresh: refused")
	// ErrSource: the source cannot be fetched from as it is written.
	ErrSource = errors.New("refresh: bad source")
	// ErrNotFound: there is no source of that name.
	ErrNotFound = errors.New("refresh: no such source")
	// ErrClosed: the refresher was closed.
	ErrClosed = errors.New("refresh: closed")
)
