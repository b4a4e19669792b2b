/** What the start form asks for: read as the command line reads it, so that what is refused is said before it is sent. */

export interface Settings {
  host: string;
  /** By users that wait for their answers, or by tasks that begin when they are due. */
  model: "users" | "arrivals";
  users: string;
  spawnRate: string;
  arrivalRate: string;
  stages: string;
  runTime: string;
  /** Which classes run, and with which weight. */
  classes: { name: string; weight: string; on: boolean }[];
  tags: string[];
  excludeTags: string[];
}

const UNITS: Record<string, number> = { us: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3_600, d: 86_400 };

/** Seconds of a span of time such as `300s`, `20m` or `1h30m`; a bare number is seconds. NaN where it is none. */
export function seconds(text: string): number {
  const trimmed = text.trim();
  if (trimmed === "") return NaN;
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Number(trimmed);
  if (!/^(\d+(\.\d+)?\s*[a-z]+\s*)+$/.test(trimmed)) return NaN;
  let sum = 0;
  for (const [, number = "", unit = ""] of trimmed.matchAll(/(\d+(?:\.\d+)?)\s*([a-z]+)/g)) sum += Number(number) * (UNITS[unit] ?? NaN);
  return sum;
}

/** Stages such as `30s:100,1m:500`: how long, and up or down to how many a second. */
export function stages(text: string): { seconds: number; rate: number }[] {
  return text.split(",").map((part) => {
    const [length = "", rate = "", ...more] = part.split(":");
    return { seconds: more.length > 0 ? NaN : seconds(length), rate: rate.trim() === "" ? NaN : Number(rate) };
  });
}

export type Field = "host" | "users" | "spawnRate" | "arrivalRate" | "stages" | "runTime" | "classes";

/** What is wrong with the settings, by field. */
export function mistakes(form: Settings): Partial<Record<Field, string>> {
  const found: Partial<Record<Field, string>> = {};
  if (!/^https?:\/\/[^\s/]+/.test(form.host.trim())) found.host = "An address that begins with http:// or https://";
  if (!whole(form.users) || Number(form.users) < 1) found.users = "A whole number, 1 or more";
  if (form.model === "users") {
    if (!(Number(form.spawnRate) > 0)) found.spawnRate = "A number above 0";
  } else if (form.stages.trim() !== "") {
    const read = stages(form.stages);
    if (read.some(({ seconds, rate }) => !(seconds > 0) || !(rate >= 0))) found.stages = "Like 30s:100,1m:500: how long, and up or down to how many tasks a second";
    else if (read.every(({ rate }) => rate === 0)) found.stages = "One stage needs a rate above 0";
  } else if (!(Number(form.arrivalRate) > 0)) found.arrivalRate = "A number above 0, or stages below";
  if (form.runTime.trim() !== "" && !(seconds(form.runTime) > 0)) found.runTime = "Like 300s, 20m or 1h30m; empty: until it is stopped";
  const on = form.classes.filter((one) => one.on);
  if (form.classes.length > 0 && on.length === 0) found.classes = "Choose a class at least";
  else if (on.some(({ weight }) => !whole(weight))) found.classes = "A weight is a whole number";
  else if (on.length > 0 && on.every(({ weight }) => Number(weight) === 0)) found.classes = "One class needs a weight above 0";
  return found;
}

const whole = (text: string) => /^\d{1,9}$/.test(text.trim());
