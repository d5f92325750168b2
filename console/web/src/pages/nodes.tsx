import type { Node } from '../api/types.ts'
import { bytes, duration, seconds } from '../format.ts'
import { usePolled } from '../live.ts'
import { call } from '../session.ts'
import { Facts, Problem, Title, Word } from '../ui/bits.tsx'
import { Layers } from '../ui/layers.tsx'

const every = 5000 // milliseconds

export function Nodes() {
  const nodes = usePolled((signal) => call('NodeService/ListNodes', {}, { signal }), every, [])
  return (
    <>
      <Title of="Nodes" />
      <Problem text={nodes.error} />
      {(nodes.value?.nodes ?? []).map((n) => (
        <One key={n.id} n={n} />
      ))}
    </>
  )
}

// absent are the states of nodes that say nothing of themselves, and why they do not.
const absent: Record<string, string> = {
  silent: 'It did not answer. The other nodes count it as alive.',
  failed: 'It does not answer. The other nodes count it as dead.',
  lost: 'The other nodes count it as dead.',
  left: 'It was shut down.',
  unseen: 'Not seen since this node started.',
}

function One({ n }: { n: Node }) {
  const away = absent[n.state ?? '']
  return (
    <section class="card">
      <div class="cardhead">
        <h2>{n.id}</h2>
        <Word>{n.state}</Word>
      </div>
      {away ? <p class="dim">{away}</p> : <Known n={n} />}
    </section>
  )
}

function Known({ n }: { n: Node }) {
  return (
    <>
      <Facts
        of={[
          ['Cells', `${n.cells ?? 0}${n.maxCells ? ` of ${n.maxCells}` : ''}`],
          ['Up', n.uptime && duration(seconds(n.uptime))],
          ['Version', n.version],
          ['Python', n.python],
          ['Mode', n.mode],
          ['Privileges', n.root ? 'all that its layers need' : 'reduced: not root'],
          ['Backends', n.backends?.join(', ')],
          ['Kernel', n.kernel],
          ['Processors', n.cpus],
          ['Memory', n.memory && bytes(n.memory)],
          ['Listens on', n.addresses?.map((a) => <div key={a}>{a}</div>)],
          [
            'Labels',
            Object.entries(n.labels ?? {})
              .map(([k, v]) => `${k}=${v}`)
              .join(', '),
          ],
        ]}
      />
      <h3>Kernel layers</h3>
      <Layers layers={n.layers} empty="The node reports none." />
    </>
  )
}
