import { expect, test } from "vitest";
import { joined, settingsOf, thresholdOf } from "./api";

test("what is new of a course takes the place of what was known of the same time", () => {
  const before = { times: [1, 2, 3], rps: [10, 20, 5] };
  expect(joined(before, { times: [3, 4], rps: [30, 40] })).toEqual({ times: [1, 2, 3, 4], rps: [10, 20, 30, 40] });
  expect(joined(before, { times: [], rps: [] })).toBe(before);
  expect(joined({ times: [], rps: [] as number[] }, before)).toEqual(before);
});

test("a form shows all classes, with those that run chosen", () => {
  const settings = settingsOf(
    { host: "http://h", users: 5, spawn_rate: 1, run_time: 90, arrival_rate: null, stages: "1m:5", classes: { A: 3 }, tags: ["x"], exclude_tags: [] },
    [{ name: "A", weight: 1 }, { name: "B", weight: 2 }],
  );
  expect(settings.classes).toEqual([{ name: "A", weight: "3", on: true }, { name: "B", weight: "2", on: false }]);
  expect([settings.model, settings.runTime, settings.users, settings.stages]).toEqual(["arrivals", "90s", "5", "1m:5"]);
});

test("a threshold is drawn where its figure is, and not at all where it has no course", () => {
  const one = { source: "s", holds: true, value: 1, name: null, method: null, limit: 200 };
  expect(thresholdOf({ ...one, metric: "http_req_duration", aggregate: "p(95)" }).draw).toEqual({ chart: "times", limit: 200 });
  expect(thresholdOf({ ...one, metric: "http_reqs", aggregate: "rate" }).draw).toEqual({ chart: "rates", limit: 200 });
  expect(thresholdOf({ ...one, metric: "http_reqs", aggregate: "count" }).draw).toBeNull();
  expect(thresholdOf({ ...one, metric: "http_req_failed", aggregate: "rate" }).draw).toBeNull();
});
