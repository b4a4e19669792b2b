import { expect, test } from "vitest";
import { sorted } from "./sorted";

test("figures by size, names as people sort them, what has no figure last", () => {
  const rows = [{ n: 2, name: "item 10" }, { n: NaN, name: "item 9" }, { n: 30, name: "Item 1" }, { n: 2, name: "about" }];
  const names = (list: typeof rows) => list.map(({ name }) => name);
  expect(names(sorted(rows, ({ n }) => n, false))).toEqual(["item 10", "about", "Item 1", "item 9"]);
  expect(names(sorted(rows, ({ n }) => n, true))).toEqual(["Item 1", "item 10", "about", "item 9"]);
  expect(names(sorted(rows, ({ name }) => name, false))).toEqual(["about", "Item 1", "item 9", "item 10"]);
  expect(rows[0]?.name).toBe("item 10");
});
