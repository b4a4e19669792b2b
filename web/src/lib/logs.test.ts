import { expect, test } from "vitest";
import type { LogData } from "../api/types";
import { LogLines } from "./logs.svelte";

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

test("a million lines are searched in turns, and a search that is changed begins anew", async () => {
  const log = new LogLines();
  const block = (from: number) => Array.from({ length: 1_000 }, (_, i) => `line ${from + i} of many`).join("\n");
  for (let i = 0; i < 1_000; i += 1) log.add(i + 1, line(block(i * 1_000), i % 10 === 0 ? "warning" : "info"));
  expect(log.total).toBe(1_000_000);
  log.filter = { level: "debug", search: "line 1", subtask: "" };
  expect(log.searching).toBe(true);
  log.filter = { level: "warning", search: "LINE 99", subtask: "" };
  // A line that comes meanwhile is in its place behind the others.
  log.add(1_001, line("line 990 again", "error"));
  while (log.searching) await new Promise((resolve) => setTimeout(resolve));
  const found = Array.from({ length: log.length }, (_, i) => log.at(i)?.message);
  expect(found.at(-1)).toBe("line 990 again");
  expect(found.slice(0, 2)).toEqual(["line 99 of many", "line 990 of many"]);
  expect(found.length).toBe(1 + 10 + 1_000 + 1);
  log.filter = { level: "debug", search: "", subtask: "" };
  expect([log.searching, log.length]).toEqual([false, 1_000_001]);
});
