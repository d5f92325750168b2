// Ids of requests, by which a node knows one that it has had.

// requestId makes a repetition harmless. (randomUUID is for secure pages alone.)
export const requestId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('')

// repeatable gives a request an id, and again the same while it is the same: with another comment it is another,
// which the node would refuse by the id of the first.
export function repeatable(): <R extends object>(request: R) => R & { requestId: string } {
  let last = { of: '', id: '' }
  return (request) => {
    const of = JSON.stringify(request)
    if (of !== last.of) last = { of, id: requestId() }
    return { ...request, requestId: last.id }
  }
}
