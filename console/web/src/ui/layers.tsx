import type { Layer } from '../api/types.ts'

// Layers are the kernel's mechanisms, each with what proves it and what it does not hold.
export function Layers({ layers, empty }: { layers: Layer[] | undefined; empty: string }) {
  if (!layers?.length) return <p class="dim">{empty}</p>
  const [active, missing] = [layers.filter((l) => l.active), layers.filter((l) => !l.active)]
  return (
    <ul class="layers">
      {[...active, ...missing].map((l) => (
        <li key={l.name} class={l.active ? 'on' : 'off'}>
          <div class="layerhead">
            <strong>{l.name}</strong>
            <span class={`word ${l.active ? 'good' : 'plain'}`}>{l.active ? 'active' : 'not active'}</span>
          </div>
          {l.evidence && <p class="evidence">{l.evidence}</p>}
          {(l.gaps?.length ?? 0) > 0 && (
            <div class="gaps">
              <span class="dim">Gaps</span>
              <ul>
                {l.gaps?.map((gap) => (
                  <li key={gap}>{gap}</li>
                ))}
              </ul>
            </div>
          )}
        </li>
      ))}
    </ul>
  )
}
