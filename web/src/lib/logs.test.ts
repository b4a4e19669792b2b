import { expect, test } from "vitest";
import type { LogData } from "../api/types";
import { LogLines, visible } from "./logs.svelte";

const line = (message: string, level: LogData["level"] = "info", subtask_id = "s"): LogData => ({
  task_id: "t", subtask_id, level, message, timestamp: "2026-01-01T00:00:00.000000Z",
});

test("lines are kept once and in order, also when a stream is sent again", () => {
  const log = new LogLines();
  log.add(3, line("a"));
  log.add(5, line("b\nc\n"));
  log.add(3, line("a"));
  log.add(5, line("b\nc"));
  expect(Array.from({ length: log.length }, (_, i) => log.at(i)?.message)).toEqual(["a", "b", "c"]);
});

test("the filter holds for lines there and lines to come", () => {
  const log = new LogLines();
  log.add(1, line("Ready", "debug"));
  log.add(2, line("\x1b[31mbroken\x1b[0m pipe", "error"));
  log.filter = { level: "warning", search: "", subtask: "" };
  log.add(3, line("odd", "warning"));
  log.add(4, line("fine"));
  expect([log.length, log.total, log.at(0)?.seq, log.at(1)?.seq]).toEqual([2, 4, 2, 3]);
  log.filter = { level: "debug", search: "BROKEN P", subtask: "" };
  expect([log.length, log.at(0)?.seq]).toEqual([1, 2]);
  log.filter = { level: "debug", search: "", subtask: "other" };
  expect(log.length).toBe(0);
});

test("the first and the last of a million rows can be reached", () => {
  const rows = 1_000_000;
  expect(visible(rows, 20, 0, 600)).toMatchObject({ height: 8_000_000, first: 0, offset: 0 });
  const end = visible(rows, 20, 8_000_000 - 600, 600);
  expect(end.last).toBe(rows);
  expect(visible(100, 20, 400, 200)).toEqual({ height: 2_000, first: 10, last: 40, offset: 200 });
});
