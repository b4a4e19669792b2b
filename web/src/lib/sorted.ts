let names: Intl.Collator | undefined;

/** Rows in the order of a value of theirs; equal ones stay as they were. Rows without a figure are last, whichever way. */
export function sorted<Row>(rows: readonly Row[], value: (row: Row) => number | string, down: boolean): Row[] {
  const keyed = rows.map((row) => ({ row, key: value(row) }));
  const none = (key: number | string) => typeof key === "number" && Number.isNaN(key);
  keyed.sort((a, b) => {
    if (none(a.key) || none(b.key)) return Number(none(a.key)) - Number(none(b.key));
    const order = typeof a.key === "string" || typeof b.key === "string" ? (names ??= new Intl.Collator("en", { numeric: true })).compare(String(a.key), String(b.key)) : a.key - b.key;
    return down ? -order : order;
  });
  return keyed.map(({ row }) => row);
}
