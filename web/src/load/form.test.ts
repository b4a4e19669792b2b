import { expect, test } from "vitest";
import { mistakes, seconds, type Settings, stages } from "./form";

const good: Settings = {
  host: "http://localhost:8000", model: "users", users: "10", spawnRate: "2.5", arrivalRate: "", stages: "", runTime: "",
  classes: [{ name: "A", weight: "1", on: true }, { name: "B", weight: "x", on: false }], tags: [], excludeTags: [],
};

test("spans of time as the command line reads them", () => {
  for (const [text, expected] of [["300s", 300], ["20m", 1_200], ["1h30m", 5_400], ["500ms", 0.5], ["45", 45], ["1.5m", 90]] as const) {
    expect(seconds(text), text).toBe(expected);
  }
  for (const text of ["", "soon", "5x", "-3s", "3 s later"]) expect(seconds(text), text).toBeNaN();
});

test("stages", () => {
  expect(stages("30s:100, 1m:0")).toEqual([{ seconds: 30, rate: 100 }, { seconds: 60, rate: 0 }]);
});

test("what is wrong is said beside its field", () => {
  expect(mistakes(good)).toEqual({});
  const wrong = (change: Partial<Settings>) => Object.keys(mistakes({ ...good, ...change }));
  expect(wrong({ host: "localhost:8000" })).toEqual(["host"]);
  expect(wrong({ users: "1.5" })).toEqual(["users"]);
  expect(wrong({ spawnRate: "0" })).toEqual(["spawnRate"]);
  expect(wrong({ runTime: "a while" })).toEqual(["runTime"]);
  expect(wrong({ model: "arrivals" })).toEqual(["arrivalRate"]);
  expect(wrong({ model: "arrivals", stages: "30s" })).toEqual(["stages"]);
  expect(wrong({ model: "arrivals", stages: "30s:0" })).toEqual(["stages"]);
  expect(wrong({ model: "arrivals", spawnRate: "", stages: "30s:10,1m:0" })).toEqual([]);
  expect(wrong({ classes: good.classes.map((one) => ({ ...one, on: false })) })).toEqual(["classes"]);
  expect(wrong({ classes: [{ name: "A", weight: "0", on: true }] })).toEqual(["classes"]);
});
