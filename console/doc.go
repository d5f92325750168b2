// Package console is the web console: pages in which people see cells, denials, events and
// nodes, and edit policies, in a browser.
//
// The pages are static files, embedded in the binary; what they show and do, they call the
// API for, with a token that who looks at them gives. So this package knows nothing of the
// node, and [Handler] may be mounted beside the API for everyone: without a token the pages
// are empty.
//
// The sources are in web (TypeScript), and dist is built from them by `make console`. It is
// committed, so that building the node needs no Node.js. TestDist holds dist to what was
// built; `make test-console` builds it anew and compares.
//
// It owns no goroutines. A handler is safe for concurrent use.
package console
