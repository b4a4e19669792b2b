import { expect, test } from "vitest";
import { ago, bytes, count, duration, plural, shortId } from "./format";

test("durations", () => {
  const shown = [0, 0.25, 7.84, 12.4, 999.6, 59_960, 61_000, 3_599_700, 7_380_000, 190_000_000].map(duration);
  expect(shown).toEqual(["0 ms", "0.25 ms", "7.8 ms", "12 ms", "1.0 s", "1 min 00 s", "1 min 01 s", "1 h 00 min", "2 h 03 min", "2 d 4 h"]);
});

test("how long ago, sizes, numbers and ids", () => {
  expect([4, 59, 61, 7_200, 200_000].map((s) => ago(1_000_000_000 - s * 1_000, 1_000_000_000))).toEqual(["just now", "59 s ago", "1 min ago", "2 h ago", "2 d ago"]);
  expect([999, 1_500, 25_276_510_208].map(bytes)).toEqual(["999 B", "1.5 kB", "25 GB"]);
  expect([plural(1, "task"), plural(12_000, "task")]).toEqual(["1 task", "12,000 tasks"]);
  expect([0, 999, 1_000, 1_234_567].map(count)).toEqual(["0", "999", "1,000", "1,234,567"]);
  expect(shortId("01a2200a-df3f-72a7-859f-a4b42a498000")).toBe("01a2200a…8000");
});
