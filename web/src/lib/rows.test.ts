import { expect, test } from "vitest";
import { bar, end, height, moved, visible } from "./rows";

const few = { total: 100, row: 20, room: 200 };
const many = { total: 1_000_000, row: 20, room: 600 };
const range = height(many) - many.room;

test("rows that fit lie where they are", () => {
  expect(height(few)).toBe(2_000);
  expect(moved(few, { top: 0, scroll: 0 }, 400)).toBe(400);
  expect(bar(few, 400)).toBe(400);
  expect(visible(few, 400, 400)).toEqual({ first: 10, last: 40, offset: 200 });
});

test("the first and the last of a million rows can be reached, and the middle by the bar", () => {
  expect(visible(many, moved(many, { top: 5_000, scroll: 2_000 }, 0), 0)).toMatchObject({ first: 0, offset: 0 });
  const top = moved(many, { top: 0, scroll: 0 }, range);
  expect(top).toBe(end(many));
  const shown = visible(many, top, range);
  expect(shown.last).toBe(many.total);
  // The last row's lower edge is the box's.
  expect(shown.offset + (shown.last - shown.first) * many.row).toBeCloseTo(height(many));
  expect(moved(many, { top: 0, scroll: 0 }, range / 2) / end(many)).toBeCloseTo(0.5);
});

test("a page further is a page further, also among a million rows", () => {
  let [top, scroll] = [3_000_000, bar(many, 3_000_000)];
  for (const by of [540, 540, -100, 540]) {
    const next = moved(many, { top, scroll }, scroll + by);
    expect(next - top).toBe(by);
    [top, scroll] = [next, scroll + by];
  }
  // What is in sight is drawn where the box is.
  const { first, offset } = visible(many, top, scroll);
  expect(offset + (top - first * many.row)).toBeCloseTo(scroll);
});

test("rows that come meanwhile move nothing that is in sight", () => {
  const grown = { ...many, total: 1_200_000 };
  const [top, scroll] = [10_000_000, bar(many, 10_000_000)];
  expect(visible(grown, top, scroll).first).toBe(visible(many, top, scroll).first);
  // The bar is put right when nobody scrolls, and that is no scrolling.
  expect(moved(grown, { top, scroll: bar(grown, top) }, bar(grown, top))).toBe(top);
});

test("a list that became shorter shows its end", () => {
  expect(visible({ ...many, total: 10 }, 10_000_000, 0)).toEqual({ first: 0, last: 10, offset: 0 });
});
