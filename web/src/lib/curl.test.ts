import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { curl, quote } from "./curl";

test("any text is one word of a shell", () => {
  for (const text of ["plain", "", "it's", "$(id) `id` \"x\"", "a\nb", "'; rm -rf /; '", "-n"]) {
    expect(execFileSync("sh", ["-c", `printf %s ${quote(text)}`], { encoding: "utf8" })).toBe(text);
  }
});

test("a token comes from the environment", () => {
  const origin = "http://localhost:8000";
  expect(curl("GET", "/api/v1/tasks", { origin })).toBe("curl http://localhost:8000/api/v1/tasks");
  expect(curl("POST", "/api/v1/tasks", { origin, token: true, body: { a: "it's" } })).toBe(
    `curl -X POST http://localhost:8000/api/v1/tasks -H "Authorization: Bearer $REGATTA_TOKEN" -H 'Content-Type: application/json' -d '{"a":"it'\\''s"}'`,
  );
});
