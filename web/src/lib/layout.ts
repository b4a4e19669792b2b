/**
 * Where the steps of a plan stand: layers by longest path, order within a layer by barycentres (Sugiyama, Tagawa and Toda,
 * 1981), and the place across as the least squares that keep the order (pool adjacent violators). Linear enough for a plan
 * of 10,000 steps, which is why it is not a library's.
 */

export interface Placed {
  /** The layer, from 0. */
  layer: number;
  /** The middle across the layers, in units of one step's room; the smallest is 0. */
  across: number;
}

export interface Edge {
  from: number;
  to: number;
  /** Places where it passes layers between its ends. */
  via: Placed[];
  /** Whether it closes a cycle. */
  cyclic: boolean;
}

export interface Layout {
  nodes: Placed[];
  edges: Edge[];
  layers: number;
  /** Room across, in units of one step. */
  across: number;
}

/** Lays out steps whose dependencies are given as positions. Cycles are cut where they close. */
export function layout(dependencies: readonly (readonly number[])[]): Layout {
  const n = dependencies.length;
  const cyclic = closing(dependencies);
  const layer = layering(dependencies, cyclic);
  const edges: Edge[] = [];
  // Steps first, then the places at which long edges pass a layer.
  const layerOf = [...layer];
  const up: number[][] = dependencies.map(() => []);
  const down: number[][] = dependencies.map(() => []);
  const link = (a: number, b: number) => {
    down[a]?.push(b);
    up[b]?.push(a);
  };
  const passing: number[][] = [];
  let room = 4 * n + 2_000;
  dependencies.forEach((list, to) => {
    for (const from of new Set(list)) {
      if (from < 0 || from >= n) continue;
      const edge: Edge = { from, to, via: [], cyclic: cyclic.has(`${from} ${to}`) };
      const places: number[] = [];
      if (!edge.cyclic) {
        let before = from;
        const [a, b] = [layer[from] ?? 0, layer[to] ?? 0];
        if (b - a - 1 <= room) {
          for (let at = a + 1; at < b; at += 1) {
            const place = layerOf.push(at) - 1;
            up.push([]);
            down.push([]);
            link(before, place);
            places.push(place);
            before = place;
            room -= 1;
          }
        }
        link(before, to);
      }
      edges.push(edge);
      passing.push(places);
    }
  });

  const layers: number[][] = [];
  layerOf.forEach((at, node) => (layers[at] ??= []).push(node));
  const position = order(layers, up, down);
  const across = spread(layers, up, down, position);
  const least = across.reduce((a, b) => Math.min(a, b), Infinity);
  const place = (node: number): Placed => ({ layer: layerOf[node] ?? 0, across: (across[node] ?? 0) - least });
  edges.forEach((edge, i) => (edge.via = (passing[i] ?? []).map(place)));
  const nodes = dependencies.map((_, node) => place(node));
  const most = across.reduce((a, b) => Math.max(a, b), -Infinity);
  return { nodes, edges, layers: layers.length, across: n === 0 ? 0 : most - least + 1 };
}

/** The edges that close a cycle, as `from to`. */
function closing(dependencies: readonly (readonly number[])[]): Set<string> {
  const found = new Set<string>();
  const state = new Uint8Array(dependencies.length);
  for (let root = 0; root < dependencies.length; root += 1) {
    if (state[root]) continue;
    const stack: [number, number][] = [[root, 0]];
    state[root] = 1;
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const [node, next] = top;
      const dependency = dependencies[node]?.[next];
      if (dependency === undefined) {
        state[node] = 2;
        stack.pop();
        continue;
      }
      top[1] += 1;
      if (state[dependency] === 1) found.add(`${dependency} ${node}`);
      else if (state[dependency] === 0) {
        state[dependency] = 1;
        stack.push([dependency, 0]);
      }
    }
  }
  return found;
}

function layering(dependencies: readonly (readonly number[])[], cyclic: Set<string>): number[] {
  const layer = dependencies.map(() => 0);
  const waits = dependencies.map(() => 0);
  const dependents: number[][] = dependencies.map(() => []);
  dependencies.forEach((list, to) => {
    for (const from of new Set(list)) {
      if (!dependents[from] || cyclic.has(`${from} ${to}`)) continue;
      dependents[from].push(to);
      waits[to] = (waits[to] ?? 0) + 1;
    }
  });
  const ready = [...waits.keys()].filter((node) => waits[node] === 0);
  for (let node = ready.pop(); node !== undefined; node = ready.pop()) {
    for (const to of dependents[node] ?? []) {
      layer[to] = Math.max(layer[to] ?? 0, (layer[node] ?? 0) + 1);
      waits[to] = (waits[to] ?? 0) - 1;
      if (waits[to] === 0) ready.push(to);
    }
  }
  return layer;
}

/** Sorts each layer by the mean place of its neighbours, back and forth. Returns each node's place in its layer. */
function order(layers: number[][], up: number[][], down: number[][]): number[] {
  const position = up.map(() => 0);
  const settle = (layer: number[]) => layer.forEach((node, i) => (position[node] = i));
  layers.forEach(settle);
  const sweeps = up.length > 3_000 ? 4 : 12;
  for (let sweep = 0; sweep < sweeps; sweep += 1) {
    const forth = sweep % 2 === 0;
    const neighbours = forth ? up : down;
    for (const layer of forth ? layers : layers.toReversed()) {
      const weight = new Map<number, number>();
      for (const node of layer) weight.set(node, mean(neighbours[node] ?? [], position) ?? position[node] ?? 0);
      layer.sort((a, b) => (weight.get(a) ?? 0) - (weight.get(b) ?? 0) || (position[a] ?? 0) - (position[b] ?? 0));
      settle(layer);
    }
  }
  return position;
}

/** Moves nodes towards the mean of their neighbours, in their order and at least one apart. */
function spread(layers: number[][], up: number[][], down: number[][], position: number[]): number[] {
  const across = [...position];
  for (let sweep = 0; sweep < 8; sweep += 1) {
    const forth = sweep % 2 === 0;
    for (const layer of forth ? layers : layers.toReversed()) {
      const wanted = layer.map((node) => mean((forth ? up[node] : down[node]) ?? [], across) ?? across[node] ?? 0);
      isotonic(wanted.map((value, i) => value - i)).forEach((value, i) => (across[layer[i] ?? 0] = value + i));
    }
  }
  return across;
}

/** The nearest values, in least squares, that never fall. */
function isotonic(values: number[]): number[] {
  const blocks: { sum: number; count: number }[] = [];
  for (const value of values) {
    let block = { sum: value, count: 1 };
    for (let last = blocks.at(-1); last && last.sum / last.count > block.sum / block.count; last = blocks.at(-1)) {
      block = { sum: block.sum + last.sum, count: block.count + last.count };
      blocks.pop();
    }
    blocks.push(block);
  }
  return blocks.flatMap(({ sum, count }) => Array<number>(count).fill(sum / count));
}

function mean(nodes: number[], values: number[]): number | undefined {
  if (nodes.length === 0) return undefined;
  return nodes.reduce((sum, node) => sum + (values[node] ?? 0), 0) / nodes.length;
}
