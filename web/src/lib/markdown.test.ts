import { expect, test } from "vitest";
import { markdown } from "./markdown";

const text = (text: string) => ({ kind: "text", text });

test("headings, lists, code and paragraphs", () => {
  expect(markdown("# Fix *it*\n\nFirst\nsecond\n\n- one\n- `two`\n1. three\n```sh\nrm -rf <x>\n```\n> said\n---")).toEqual([
    { kind: "heading", level: 1, inner: [text("Fix "), { kind: "em", inner: [text("it")] }] },
    { kind: "paragraph", inner: [text("First\nsecond")] },
    { kind: "list", ordered: false, items: [[text("one")], [{ kind: "code", text: "two" }]] },
    { kind: "list", ordered: true, items: [[text("three")]] },
    { kind: "code", text: "rm -rf <x>" },
    { kind: "quote", inner: [text("said")] },
    { kind: "rule" },
  ]);
});

test("only web pages are linked", () => {
  expect(markdown("[a](https://example.com/x)")).toEqual([
    { kind: "paragraph", inner: [{ kind: "link", href: "https://example.com/x", inner: [text("a")] }] },
  ]);
  for (const hostile of ["[a](javascript:alert(1))", "[a](data:text/html,x)", "<script>alert(1)</script>", "[a](JaVaScRiPt:x)"]) {
    expect(JSON.stringify(markdown(hostile))).not.toContain('"link"');
  }
});

test("names with underscores and stars that multiply stay what they are", () => {
  expect(markdown("snake_case_name and 2 * 3 * 4")).toEqual([{ kind: "paragraph", inner: [text("snake_case_name and 2 * 3 * 4")] }]);
});
