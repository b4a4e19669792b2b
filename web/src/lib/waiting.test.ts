import { expect, test } from "vitest";
import { byWho, forSomeone } from "./waiting";

test("what no worker can run waits for a person, with the command that helps", () => {
  const busy = "all 2 online workers that may run it are busy; it runs when a slot is free";
  const { person, fleet } = byWho([
    { waiting_for: "no online worker that offers command carries gpu=a100; start one: regatta worker --tools command --labels gpu=a100", subtasks: 2 },
    { waiting_for: busy, subtasks: 9 },
    { waiting_for: "it is sensitive, and no online worker offers aider as a local tool; let a worker's owner vouch for one (local_tools), or start one: regatta worker --tools ollama", subtasks: 1 },
    { waiting_for: "the next attempt, in 3 s", subtasks: 1 },
  ]);
  expect(person.map(({ reason, command, subtasks }) => [reason, command, subtasks])).toEqual([
    ["no online worker that offers command carries gpu=a100", "regatta worker --tools command --labels gpu=a100", 2],
    ["it is sensitive, and no online worker offers aider as a local tool", undefined, 1],
  ]);
  expect(person[1]?.way).toMatch(/^let a worker's owner vouch/);
  expect(fleet.map(({ reason }) => reason)).toEqual([busy, "the next attempt, in 3 s"]);
});

test("a task that was not started waits for someone, one whose time has not come does not", () => {
  expect(forSomeone({ waiting_for: "someone to start it: POST /api/v1/tasks/x/decompose" })).toBe(true);
  expect(forSomeone({ waiting_for: "its time, 2999-01-01" })).toBe(false);
  expect(forSomeone({})).toBe(false);
});
