import { expect, test } from "vitest";
import type { SubtaskRow } from "../api/types";
import { ticks, Timeline } from "./timeline";

const at = (second: number) => new Date(second * 1_000).toISOString();
const row = (status: SubtaskRow["status"], attempt: number, more: Partial<SubtaskRow> = {}): SubtaskRow => ({
  subtask_id: "s", name: "Step", status, progress: 0, dependencies: [], attempt, complexity: 1, priority: 0, simulated: false, ...more,
});

test("each attempt is a run, with its worker and how it ended", () => {
  const line = new Timeline();
  const events: [SubtaskRow, string][] = [
    [row("in_progress", 1, { started_at: at(1), assigned_worker: "a" }), at(1)],
    [row("queued", 1), at(3)],
    [row("in_progress", 2, { started_at: at(5), assigned_worker: "b" }), at(5)],
    [row("completed", 2, { started_at: at(5), completed_at: at(9) }), at(9)],
  ];
  // Sent again after a break, it is the same picture.
  for (const [step, time] of [...events, ...events]) line.take(step, time);
  expect(line.runs("s").map(({ attempt, worker, from, to, outcome }) => [attempt, worker, from, to, outcome])).toEqual([
    [1, "a", 1_000, 3_000, "queued"],
    [2, "b", 5_000, 9_000, "completed"],
  ]);
});

test("a list that changed is another list, so that what draws it notices", () => {
  const line = new Timeline();
  line.take(row("in_progress", 1, { started_at: at(1) }), at(1));
  const before = line.runs("s");
  line.take(row("completed", 1), at(2));
  expect(line.runs("s")).not.toBe(before);
  expect(before[0]?.to).toBeUndefined();
});

test("a step whose events are gone is shown by what it says itself", () => {
  const line = new Timeline();
  line.take(row("completed", 3, { started_at: at(1), completed_at: at(2) }), at(2));
  expect(line.runs("s")).toHaveLength(1);
  expect(line.runs("none")).toEqual([]);
});

test("marks are round and few", () => {
  expect(ticks(950, 6)).toEqual([0, 200, 400, 600, 800]);
  expect(ticks(95_000, 6)).toEqual([0, 30_000, 60_000, 90_000]);
  for (const span of [1, 77, 12_345, 1e7, 1e10]) expect(ticks(span, 6).length).toBeLessThanOrEqual(7);
});
