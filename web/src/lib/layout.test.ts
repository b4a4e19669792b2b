import { expect, test } from "vitest";
import { layout } from "./layout";

test("a step stands after all that it waits for", () => {
  const plan = [[], [0], [0], [1, 2], [0, 3]];
  const { nodes, edges, layers } = layout(plan);
  expect(nodes.map((node) => node.layer)).toEqual([0, 1, 1, 2, 3]);
  expect([layers, edges.length]).toEqual([4, 6]);
  // The edge over two layers passes both of them.
  expect(edges.find((edge) => edge.from === 0 && edge.to === 4)?.via.map((place) => place.layer)).toEqual([1, 2]);
});

test("no two things stand on the same place", () => {
  const plan = Array.from({ length: 60 }, (_, i) => [i - 1, i - 7, i - 13].filter((d) => d >= 0 && (i * 7 + d) % 3 !== 0));
  const { nodes, edges } = layout(plan);
  const places = [...nodes, ...edges.flatMap((edge) => edge.via)];
  for (const a of places) {
    for (const b of places) if (a !== b && a.layer === b.layer) expect(Math.abs(a.across - b.across)).toBeGreaterThan(0.999);
  }
  expect(Math.min(...places.map((place) => place.across))).toBe(0);
});

test("fork and join are drawn straight: the middle stands in the middle", () => {
  const { nodes } = layout([[], [0], [0], [0], [1, 2, 3]]);
  expect(nodes[0]?.across).toBeCloseTo(nodes[2]?.across ?? -1);
  expect(nodes[4]?.across).toBeCloseTo(nodes[2]?.across ?? -1);
});

test("a cycle is cut and marked", () => {
  const { edges, nodes } = layout([[2], [0], [1], [3]]);
  expect(edges.filter((edge) => edge.cyclic).map(({ from, to }) => [from, to])).toContainEqual([3, 3]);
  expect(edges.filter((edge) => edge.cyclic)).toHaveLength(2);
  expect(nodes).toHaveLength(4);
});

test("a plan of 10,000 steps is laid out", () => {
  const plan = Array.from({ length: 10_000 }, (_, i) => (i < 100 ? [] : [i - 100, i - 1 - (i % 97)]));
  expect(layout(plan).nodes).toHaveLength(10_000);
  expect(layout([]).across).toBe(0);
});
