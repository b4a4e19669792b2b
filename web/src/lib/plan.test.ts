import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { findCycle, mistakesOf, readPlan } from "./plan";

const step = (name: string, more = "") => `\n[[subtasks]]\nname = "${name}"\n${more}\n`;
const plan = (...steps: string[]) => `description = "Something to be done"\n${steps.join("")}`;
const messages = (source: string) => readPlan(source).mistakes.map(({ message }) => message);

test("the examples of the repository are plans without mistakes", () => {
  const folder = new URL("../../../examples/", import.meta.url);
  // The folder has files of other kinds too.
  const files = readdirSync(folder).filter((name) => name.endsWith(".toml") && readFileSync(new URL(name, folder), "utf8").includes("[[subtasks]]"));
  expect(files.length).toBeGreaterThan(2);
  for (const file of files) {
    const read = readPlan(readFileSync(new URL(file, folder), "utf8"), { here: "/srv", plan_dir: "/srv" });
    expect(read.mistakes, file).toEqual([]);
    expect(read.steps.length, file).toBe(read.task?.subtasks?.length);
    expect(JSON.stringify(read.task), file).not.toMatch(/\$\{here\}|"vars"/);
  }
});

test("variables are put in, and can be set", () => {
  const source = `description = "Count \${what} in $\${HOME} \${x%y}"\n[vars]\nwhat = "words"\n`;
  expect(readPlan(source).task?.description).toBe("Count words in ${HOME} ${x%y}");
  expect(readPlan(source, { what: "lines" }).task?.description).toBe("Count lines in ${HOME} ${x%y}");
  expect(messages(`description = "Count \${wat} somewhere"\n[vars]\nwhat = "words"`)[0]).toMatch(/no variable wat; did you mean "what"/);
  expect(messages(`description = "Look into \${here} well"`)[0]).toMatch(/say which folder/);
});

test("each mistake is named at its step", () => {
  const read = readPlan(plan(step("A"), step("A"), step("B", 'depends_on = ["C"]'), step("D", 'tool = "command"'), step("E", "complexity = 9")));
  expect(read.mistakes.map(({ step, message }) => [step, message.slice(0, 24)])).toEqual([
    [1, 'the name "A" is already '],
    [3, 'step "D" uses the tool c'],
    [4, "complexity must be a who"],
    [2, 'step "B" depends on "C",'],
  ]);
  expect(read.mistakes[0]?.line).toBe(7);
  expect(messages(plan(step("A", 'depend_on = ["B"]')))).toEqual(['a step has no key "depend_on"; did you mean "depends_on"?']);
  expect(messages(plan(step("A", 'depends_on = ["A"]')))).toEqual(['step "A" depends on itself']);
  expect(messages('descripton = "Something to be done"')[0]).toMatch(/did you mean "description"/);
});

test("a circle is named by its steps, in order", () => {
  const read = readPlan(plan(step("A", 'depends_on = ["C"]'), step("B", 'depends_on = ["A"]'), step("C", 'depends_on = ["B"]'), step("D")));
  expect(read.mistakes.map(({ step }) => step).sort()).toEqual([0, 1, 2]);
  expect(read.mistakes[0]?.message).toContain('"A" → "B" → "C" → "A"');
  expect(findCycle([[], [0], [0, 1]])).toEqual([]);
});

test("a file that is no plan says where", () => {
  expect(readPlan("description = \nname").mistakes[0]).toMatchObject({ line: 1 });
  expect(messages('{"description": 1,')[0]).toMatch(/no JSON/);
  expect(messages("")[0]).toMatch(/no description/);
  expect(readPlan('{"description": "Something to be done", "subtasks": [{"name": "A"}]}').steps).toHaveLength(1);
});

test("what the server found is shown at its step", () => {
  const errors = [{ field: "subtasks[2].depends_on", message: "names no step" }, { field: "description", message: "is short" }];
  expect(mistakesOf({ status: 422, errors }, "x")).toEqual([
    { message: "subtasks[2].depends_on: names no step", step: 2 },
    { message: "description: is short" },
  ]);
  expect(mistakesOf(undefined, "the server does not answer")).toEqual([{ message: "the server does not answer" }]);
});
