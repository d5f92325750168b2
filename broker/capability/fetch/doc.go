// Package fetch is the capability http.fetch.
//
// Two checks decide about each request and each redirect. The host and port of the
// URL must be on the grant's list. And the address that a connection is about to be
// made to is judged in the moment of connecting, after all name resolution: private,
// loopback, link-local, multicast and metadata addresses, and IPv6 forms that embed
// them, are refused unless the grant names them. So a name on the list that resolves
// to an inner address, now or the next time, leads nowhere.
//
// Certificates are always verified; the environment's proxies are ignored; nothing
// is kept between requests but idle connections, which belong to one grant of one
// cell and are closed with it.
package fetch
