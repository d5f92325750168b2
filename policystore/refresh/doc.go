// Package refresh keeps policies as an address has them: it fetches documents over HTTP and
// HTTPS, verifies them and stores them as new versions, once or again and again.
//
// The API server makes one [Refresher] for its store. A [Source] says where a policy comes
// from and what proves that it is the right one. Sources are the node's that was asked to
// follow them, in a file of its data directory; what they give goes through the store as any
// change does, under the name of who asked. Tokens that are revoked take their sources'
// authority with them.
//
// What it guarantees:
//
//   - A document that is not proven, is too large or has faults changes nothing; the status
//     and the error say why.
//   - What is read of a server is bounded in size and time, whatever it says of itself. No
//     content encoding is taken. Redirects are few, never to less protection, and stay with
//     the host unless the source says otherwise.
//   - Addresses at which credentials are handed out are not dialled, and for principals of a
//     tenant nothing but the public internet is. No proxy is used but the operator's.
//   - A version is stored when the source gives something else than it gave before, which is
//     kept with the source. What somebody puts by hand meanwhile stays until then, also when
//     the node starts anew.
//   - A server in trouble is not pressed: attempts, and the retries of all sources together,
//     are bounded, waits grow and differ by chance, and Retry-After is kept.
//
// A signature proves who made a document as which policy, not that it is the newest: over http
// somebody on the way can give an older one of the name. https, or a new key, keeps them from it.
//
// Goroutines: one for each source. [Refresher.Close] ends them.
package refresh
