import { expect, test } from "vitest";
import { pieces, text } from "./ansi";

test("colours become classes and end where they end", () => {
  expect(pieces("a \x1b[1;31mred\x1b[0m b")).toEqual([
    { text: "a ", style: "" },
    { text: "red", style: "fg1 bold" },
    { text: " b", style: "" },
  ]);
  expect(pieces("\x1b[92mok\x1b[39m.")).toEqual([{ text: "ok", style: "fg10" }, { text: ".", style: "" }]);
  expect(pieces("\x1b[38;5;4mblue\x1b[m")).toEqual([{ text: "blue", style: "fg4" }]);
  expect(pieces("\x1b[38;2;1;2;3;1mtrue colour")).toEqual([{ text: "true colour", style: "bold" }]);
});

test("what moves cursors, sets titles or rings bells is left out", () => {
  expect(text("\x1b]0;title\x07\x1b[2Kdone\x07")).toBe("done");
  expect(text("10 %\r50 %\r100 %")).toBe("100 %");
  expect(text("windows line\r")).toBe("windows line");
  expect(text("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\")).toBe("link");
});

test("markup stays text", () => {
  expect(pieces("<img src=x onerror=alert(1)>")).toEqual([{ text: "<img src=x onerror=alert(1)>", style: "" }]);
});
