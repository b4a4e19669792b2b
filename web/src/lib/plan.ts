/**
 * Plan files (TOML, or the JSON body of `POST /tasks`) read in the page, so that a plan is seen with its mistakes before it is
 * sent. The rules are those of `regatta task submit --plan`; the server has the last word.
 */
import { parse as parseToml, TomlDate, TomlError } from "smol-toml";
import type { CreateTask, Problem } from "../api/types";

export interface Mistake {
  message: string;
  /** The position of the step that it is about. */
  step?: number;
  /** The line of the file, from 1. */
  line?: number;
}

export interface Variable {
  name: string;
  value: string;
  /** Set by the command line from where it runs; a page has to be told. */
  builtIn: boolean;
}

export interface PlanStep {
  name: string;
  tool: string;
  /** Positions of the steps that it waits for; unknown ones are left out. */
  dependencies: number[];
}

export interface Plan {
  /** What is sent; absent where it cannot be made. */
  task?: CreateTask;
  steps: PlanStep[];
  variables: Variable[];
  mistakes: Mistake[];
}

type Table = Record<string, unknown>;

const TASK_KEYS = [
  "description", "task_type", "requirements", "checkpoint_frequency", "privacy_level", "tool_preferences", "priority",
  "requires", "subtasks", "start", "start_at", "metadata",
];
const STEP_KEYS = [
  "name", "description", "depends_on", "tool", "requires", "input", "complexity", "priority", "timeout_seconds", "max_attempts",
];
const BUILT_IN = ["here", "plan_dir"];
const MOST_STEPS = 10_000;

/** Reads a plan; `values` replace the variables of the file. */
export function readPlan(source: string, values: Record<string, string> = {}): Plan {
  const plan: Plan = { steps: [], variables: [], mistakes: [] };
  const table = parsed(source, plan);
  if (!table) return plan;
  plan.variables = variables(table, source, values, plan);
  const { vars: _, ...body } = table;
  for (const key of Object.keys(body)) {
    if (TASK_KEYS.includes(key)) continue;
    const hint = STEP_KEYS.includes(key) ? "; it belongs to a step, below a line [[subtasks]]" : closest(key, [...TASK_KEYS, "vars"]);
    plan.mistakes.push({ message: `a plan has no key "${key}"${hint}`, ...lineOf(source, key) });
  }
  const known = new Map(plan.variables.map(({ name, value }) => [name, value]));
  const task = expand(body, known, plan, source) as Table;
  task["task_type"] ??= "custom";
  const description = task["description"];
  if (typeof description !== "string") plan.mistakes.push({ message: "the plan has no description: say in it what is to be done" });
  else if ([...description].length < 10 || [...description].length > 10_000) {
    plan.mistakes.push({ message: "the description must have 10 to 10,000 characters", ...lineOf(source, "description") });
  }
  if (task["subtasks"] !== undefined) checkSteps(task["subtasks"], plan, source);
  plan.task = task as unknown as CreateTask;
  return plan;
}

function parsed(source: string, plan: Plan): Table | undefined {
  try {
    const json = source.trimStart().startsWith("{");
    const value = json ? (JSON.parse(source) as unknown) : parseToml(source);
    if (isTable(value)) return value;
    plan.mistakes.push({ message: "a plan is a TOML file, or a JSON object as POST /api/v1/tasks takes it" });
  } catch (error) {
    if (error instanceof TomlError) {
      const reason = error.message.split("\n")[0]?.replace(/^Invalid TOML document: /, "") ?? "it cannot be read";
      plan.mistakes.push({ message: `this is no TOML: ${reason}`, line: error.line });
    } else {
      plan.mistakes.push({ message: `this is no JSON: ${error instanceof Error ? error.message : String(error)}` });
    }
  }
  return undefined;
}

function variables(table: Table, source: string, values: Record<string, string>, plan: Plan): Variable[] {
  const own = table["vars"] ?? {};
  const found: Variable[] = [];
  if (!isTable(own)) plan.mistakes.push({ message: 'vars must be a table: a line [vars], then name = "text"', ...lineOf(source, "vars") });
  else {
    for (const [name, value] of Object.entries(own)) {
      if (BUILT_IN.includes(name)) plan.mistakes.push({ message: `the variable ${name} is set by Regatta: take another name`, ...lineOf(source, name) });
      else if (["string", "number", "boolean", "bigint"].includes(typeof value)) {
        found.push({ name, value: values[name] ?? String(value), builtIn: false });
      } else plan.mistakes.push({ message: `the variable ${name} must be a text or a number`, ...lineOf(source, name) });
    }
  }
  for (const name of BUILT_IN) {
    if (!new RegExp(`(^|[^$])\\$\\{${name}\\}`).test(source)) continue;
    const value = values[name] ?? "";
    found.push({ name, value, builtIn: true });
    if (value === "") plan.mistakes.push({ message: `say which folder \${${name}} is, on the worker's machine; the command line knows it, a page does not` });
  }
  return found;
}

/** Puts texts for `${name}` in every string; what is no name between braces is left alone, `$${name}` is `${name}`. */
function expand(value: unknown, known: Map<string, string>, plan: Plan, source: string): unknown {
  if (typeof value === "string") {
    return value.replace(/(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (written, quoted: string, name: string) => {
      if (quoted) return written.slice(1);
      const text = known.get(name);
      if (text !== undefined) return text;
      const message = `there is no variable ${name}${closest(name, [...known.keys()])} (to pass on \${${name}} itself write $\${${name}})`;
      if (!plan.mistakes.some((mistake) => mistake.message === message)) plan.mistakes.push({ message, ...lineOf(source, written) });
      return written;
    });
  }
  if (value instanceof TomlDate) return value.toISOString();
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map((item) => expand(item, known, plan, source));
  if (!isTable(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, expand(item, known, plan, source)]));
}

function checkSteps(list: unknown, plan: Plan, source: string): void {
  if (!Array.isArray(list) || !list.every(isTable)) {
    plan.mistakes.push({ message: "subtasks must be a list: start each step with a line [[subtasks]]", ...lineOf(source, "subtasks") });
    return;
  }
  if (list.length === 0) plan.mistakes.push({ message: "subtasks must name at least one step, or be left out for the built-in plan" });
  if (list.length > MOST_STEPS) plan.mistakes.push({ message: `a plan may have 10,000 steps, and this one has ${list.length}` });
  const position = new Map<string, number>();
  list.forEach((step, i) => {
    const wrong = (message: string) => plan.mistakes.push({ message, step: i, ...lineOfStep(source, i, step["name"]) });
    const name = typeof step["name"] === "string" ? step["name"] : "";
    for (const key of Object.keys(step)) {
      if (STEP_KEYS.includes(key)) continue;
      const hint = TASK_KEYS.includes(key) ? "; it belongs to the task, above the first [[subtasks]]" : closest(key, STEP_KEYS);
      wrong(`a step has no key "${key}"${hint}`);
    }
    if (name === "") wrong("a step needs a name");
    else if (position.has(name)) wrong(`the name "${name}" is already used by another step; names must be unique in a plan`);
    else position.set(name, i);
    const input = step["input"];
    if (step["tool"] === "command" && !(isTable(input) && Array.isArray(input["argv"]) && input["argv"].length > 0)) {
      wrong(`step "${name}" uses the tool command, which needs an input with argv`);
    }
    if (input !== undefined && !isTable(input)) wrong("input must be a table, as { key = \"value\" }");
    whole(step, "complexity", 1, 5, wrong);
    whole(step, "timeout_seconds", 1, 4_294_967_295, wrong);
    whole(step, "max_attempts", 1, 4_294_967_295, wrong);
    whole(step, "priority", -2_147_483_648, 2_147_483_647, wrong);
  });
  list.forEach((step, i) => {
    const name = String(step["name"] ?? "");
    const wrong = (message: string) => plan.mistakes.push({ message, step: i, ...lineOfStep(source, i, step["name"]) });
    const given = step["depends_on"] ?? [];
    const dependencies: number[] = [];
    if (!Array.isArray(given)) wrong('depends_on must be a list of names, as ["One", "Two"]');
    else {
      for (const other of given.map(String)) {
        const at = position.get(other);
        if (at === i) wrong(`step "${name}" depends on itself`);
        if (at === undefined) wrong(`step "${name}" depends on "${other}", which no step is called${closest(other, [...position.keys()])}`);
        else dependencies.push(at);
      }
    }
    const tool = typeof step["tool"] === "string" ? step["tool"] : "";
    plan.steps.push({ name: name || `step ${i + 1}`, tool, dependencies });
  });
  const cycle = findCycle(plan.steps.map((step) => step.dependencies));
  if (cycle.length > 1) {
    const names = cycle.map((i) => `"${plan.steps[i]?.name ?? ""}"`);
    for (const step of cycle) plan.mistakes.push({ message: `these steps wait for each other in a circle: ${names.join(" → ")} → ${names[0]}`, step });
  }
}

function whole(step: Table, key: string, least: number, most: number, wrong: (message: string) => void): void {
  const value = step[key];
  if (value === undefined) return;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    wrong(`${key} must be a whole number${most < 1_000 ? ` from ${least} to ${most}` : least === 1 ? " of at least 1" : ""}`);
  }
}

/** The steps of one cycle, each before the one that waits for it; empty where there is none. */
export function findCycle(dependencies: readonly (readonly number[])[]): number[] {
  const state = new Uint8Array(dependencies.length);
  for (let root = 0; root < dependencies.length; root += 1) {
    if (state[root]) continue;
    const path: number[] = [root];
    const next: number[] = [0];
    state[root] = 1;
    while (path.length > 0) {
      const node = path.at(-1) ?? 0;
      const dependency = dependencies[node]?.[next[path.length - 1] ?? 0];
      if (dependency === undefined) {
        state[node] = 2;
        path.pop();
        next.pop();
        continue;
      }
      next[path.length - 1] = (next[path.length - 1] ?? 0) + 1;
      if (state[dependency] === 1) {
        const cycle = path.slice(path.indexOf(dependency)).reverse();
        const first = cycle.indexOf(Math.min(...cycle));
        return [...cycle.slice(first), ...cycle.slice(0, first)];
      }
      if (state[dependency] === 0) {
        state[dependency] = 1;
        path.push(dependency);
        next.push(0);
      }
    }
  }
  return [];
}

/** What the server found wrong, at the steps that it names. */
export function mistakesOf(problem: Problem | undefined, fallback: string): Mistake[] {
  const errors = problem?.errors ?? [];
  if (errors.length === 0) return [{ message: fallback }];
  return errors.map(({ field, message }) => {
    const step = /^subtasks\[(\d+)\]/.exec(field)?.[1];
    return { message: `${field}: ${message}`, ...(step === undefined ? {} : { step: Number(step) }) };
  });
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function lineOf(source: string, key: string): { line?: number } {
  const escaped = key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const at = source.search(/^[A-Za-z_]+$/.test(key) ? new RegExp(`(^|[\\s"{,\\[])${escaped}["\\s\\]]*[=:\\]]`, "m") : new RegExp(escaped));
  return at < 0 ? {} : { line: source.slice(0, at + 1).split("\n").length };
}

/** The line at which a step begins, where steps are written as tables. */
function lineOfStep(source: string, position: number, name: unknown): { line?: number } {
  let seen = -1;
  for (const match of source.matchAll(/^[ \t]*\[\[subtasks\]\]/gm)) {
    seen += 1;
    if (seen === position) return { line: source.slice(0, match.index).split("\n").length };
  }
  const at = typeof name === "string" && name !== "" ? source.indexOf(JSON.stringify(name)) : -1;
  return at < 0 ? {} : { line: source.slice(0, at).split("\n").length };
}

/** `; did you mean "x"?` where one of the names is near. */
function closest(name: string, names: string[]): string {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const other of names) {
    const d = distance(name.toLowerCase(), other.toLowerCase());
    if (d < least) [best, least] = [other, d];
  }
  return best === undefined ? "" : `; did you mean "${best}"?`;
}

/** How many letters differ; two that changed places count as one (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(change, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    [before, row] = [row, next];
  }
  return row[b.length] ?? 0;
}
