/**
 * Lists of which only the rows in sight are there. Browsers bound the height of elements, so the box of a very long list is lower
 * than its rows together: a wheel and the keys move it as far as they say, and only the bar is in proportion.
 */

/** No browser draws much more than twice of it. */
const TALLEST = 8_000_000;

export interface View {
  /** How many rows there are, and how high each is. */
  total: number;
  row: number;
  /** How much of them is in sight. */
  room: number;
}

/** The height of the box that is scrolled. */
export function height({ total, row }: View): number {
  return Math.min(total * row, TALLEST);
}

/** Where the last rows are in sight, counted in all rows. */
export function end({ total, row, room }: View): number {
  return Math.max(0, total * row - room);
}

/** Which place among all rows is at the top, after the box was scrolled from one place to another. */
export function moved(view: View, before: { top: number; scroll: number }, scroll: number): number {
  const last = end(view);
  const range = Math.max(0, height(view) - view.room);
  if (last <= range) return Math.min(scroll, last);
  if (scroll <= 0) return 0;
  if (scroll >= range - 1) return last;
  const by = scroll - before.scroll;
  if (Math.abs(by) <= 2 * view.room) return Math.max(0, Math.min(last, before.top + by));
  return (scroll / range) * last;
}

/** Where the box's bar should stand when this place is at the top. */
export function bar(view: View, top: number): number {
  const last = end(view);
  return last === 0 ? 0 : (Math.min(top, last) / last) * Math.max(0, height(view) - view.room);
}

/** The rows to draw, some more than are in sight, and where the first of them lies in the box. */
export function visible(view: View, top: number, scroll: number): { first: number; last: number; offset: number } {
  const at = Math.min(top, end(view));
  const first = Math.max(0, Math.floor(at / view.row) - 10);
  const last = Math.min(view.total, Math.ceil((at + view.room) / view.row) + 10);
  return { first, last, offset: scroll + first * view.row - at };
}
