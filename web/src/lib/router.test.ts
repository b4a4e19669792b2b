import { expect, test } from "vitest";
import { parse } from "./router.svelte";

test("paths name pages", () => {
  expect(parse("/")).toEqual({ page: "overview", id: "" });
  expect(parse("/tasks/")).toEqual({ page: "tasks", id: "" });
  expect(parse("/tasks/a%20b")).toEqual({ page: "task", id: "a b" });
  expect(parse("/workers/w")).toEqual({ page: "worker", id: "w" });
  for (const path of ["/docs/", "/api/v1/tasks", "/tasks/a/b"]) expect(parse(path).page).toBe("nowhere");
  expect(parse("/tasks/%E0%A4%A")).toEqual({ page: "task", id: "%E0%A4%A" });
});
