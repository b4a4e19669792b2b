import { expect, test } from "vitest";
import { elapsed, ms, rate, share } from "./format";

test("figures have as many places as say something", () => {
  expect([0.234, 9.999, 12.34, 1_234.5, NaN].map(ms)).toEqual(["0.23", "10.00", "12.3", "1,235", "–"]);
  expect([0, 0.5, 12.34, 12_345.6].map(rate)).toEqual(["0", "0.5", "12.3", "12,346"]);
  expect([0, 0.0001, 0.0123, 0.5, 1].map(share)).toEqual(["0 %", "0.01 %", "1.2 %", "50 %", "100 %"]);
  expect([7, 750, 28_800].map(elapsed)).toEqual(["0:07", "12:30", "8:00:00"]);
});
