/** What the page asks of `regatta load`, and how its answers become what is shown. */
import { ApiError } from "../api/client";
import type { Said } from "../lib/logs.svelte";
import type { Settings } from "./form";
import type { Course, Exception, Failure, Figures, Share, Stage, State, Threshold } from "./types";

type Maybe = number | null;

interface Asked {
  host: string;
  users: number;
  spawn_rate: number;
  run_time: Maybe;
  arrival_rate: Maybe;
  stages: string | null;
  classes: Record<string, number>;
  tags: string[];
  exclude_tags: string[];
}

interface Row {
  id: number | string;
  method: string;
  name: string;
  requests: number;
  failures: number;
  avg: Maybe;
  min: Maybe;
  max: Maybe;
  p50: Maybe;
  p95: Maybe;
  p99: Maybe;
  p999: Maybe;
  bytes: Maybe;
  rps: number;
  fails_per_second: number;
  service: { p50: Maybe; p95: Maybe; p99: Maybe } | null;
  stages: { name: string; count: number; avg: number; max: number }[];
}

interface Now {
  run: number;
  state: State["phase"];
  settings: Asked;
  users: number;
  classes: Record<string, number>;
  elapsed: number;
  health: { valid: boolean; reasons: string[]; cpu: number[]; lag_ms: Maybe; dropped: number };
  thresholds: { source: string; holds: boolean; value: Maybe; name: string | null; method: string | null; metric: string; aggregate: string; limit: number }[];
  total: Row;
  requests: Row[];
  failures: Failure[];
  exceptions: Exception[];
}

export interface Options {
  classes: { name: string; weight: number }[];
  tags: string[];
  /** Whether somebody signed in, and can sign out. */
  login: boolean;
}

let classes: Options["classes"] = [];

/** A form with nothing in it. */
export const NOTHING: Settings = {
  host: "", model: "users", users: "1", spawnRate: "1", arrivalRate: "", stages: "", runTime: "", classes: [], tags: [], excludeTags: [],
};

export async function options(): Promise<Options> {
  const answer = await get<Options>("options");
  classes = answer.classes;
  return answer;
}

export interface Read {
  state: State;
  settings: Settings;
  rows: Figures[];
  total: Figures;
  failures: Failure[];
  exceptions: Exception[];
  stages: Stage[];
}

export async function figures(): Promise<Read> {
  const now = await get<Now>("now");
  const total = figuresOf(now.total);
  return {
    state: {
      run: String(now.run), phase: now.state, host: now.settings.host, users: now.users, classes: new Map(Object.entries(now.classes)), elapsed: now.elapsed,
      rps: total.rps, failsPerSecond: total.failsPerSecond, failRatio: total.requests > 0 ? total.failures / total.requests : 0,
      health: { ...now.health, lag: now.health.lag_ms ?? NaN },
      thresholds: now.thresholds.map(thresholdOf),
    },
    settings: settingsOf(now.settings, classes),
    rows: now.requests.map(figuresOf),
    total,
    failures: now.failures,
    exceptions: now.exceptions,
    stages: now.requests.flatMap((row) => row.stages.map(({ name, count, avg, max }) => ({
      method: row.method, name: row.name, stage: name, count, average: avg, max, share: row.avg ? avg / row.avg : NaN,
    }))),
  };
}

function figuresOf(row: Row): Figures {
  const of = (value: Maybe) => value ?? NaN;
  return {
    id: String(row.id), method: row.method, name: row.name, requests: row.requests, failures: row.failures, average: of(row.avg), min: of(row.min), max: of(row.max),
    p50: of(row.p50), p95: of(row.p95), p99: of(row.p99), p999: of(row.p999), bytes: of(row.bytes), rps: row.rps, failsPerSecond: row.fails_per_second,
    ...(row.service && { service: { p50: of(row.service.p50), p95: of(row.service.p95), p99: of(row.service.p99) } }),
  };
}

/** Times are drawn into the chart of times, rates into that of rates; what is no course of time is not drawn. */
export function thresholdOf({ source, holds, value, name, method, metric, aggregate, limit }: Now["thresholds"][number]): Threshold {
  const chart = /^http_req_(duration|service)$/.test(metric) ? "times" : metric === "http_reqs" && aggregate === "rate" ? "rates" : undefined;
  return { source, holds, value, name: name ?? "", method: method ?? "", draw: chart ? { chart, limit } : null };
}

/** What was asked for, as the form shows it: all classes, those that do not run too. */
export function settingsOf(asked: Asked, all: Options["classes"]): Settings {
  const text = (value: Maybe) => (value === null ? "" : String(value));
  return {
    host: asked.host, model: asked.arrival_rate !== null || asked.stages !== null ? "arrivals" : "users", users: String(asked.users), spawnRate: String(asked.spawn_rate),
    arrivalRate: text(asked.arrival_rate), stages: asked.stages ?? "", runTime: asked.run_time === null ? "" : `${asked.run_time}s`,
    classes: all.map(({ name, weight }) => ({ name, weight: String(asked.classes[name] ?? weight), on: name in asked.classes })),
    tags: asked.tags, excludeTags: asked.exclude_tags,
  };
}

function asked(form: Settings): Record<string, unknown> {
  const open = form.model === "arrivals";
  const staged = open && form.stages.trim() !== "";
  return {
    host: form.host.trim(), users: Number(form.users), spawn_rate: Number(form.spawnRate) || 1, run_time: form.runTime.trim() === "" ? null : form.runTime.trim(),
    arrival_rate: open && !staged ? Number(form.arrivalRate) : null, stages: staged ? form.stages.trim() : null,
    classes: Object.fromEntries(form.classes.filter(({ on }) => on).map(({ name, weight }) => [name, Number(weight)])),
    tags: form.tags, exclude_tags: form.excludeTags,
  };
}

interface History {
  resolution: number;
  users: { times: number[]; counts: Maybe[] };
  courses: Record<string, Course>;
}

let resolution = 0;
let users: History["users"] = { times: [], counts: [] };

/** The courses of requests: what is new of those that are known, all of the others. */
export async function courses(ids: string[], known: Map<string, Course>): Promise<{ courses: Map<string, Course>; users: History["users"] }> {
  const ends = ids.map((id) => known.get(id)?.times.at(-1));
  const since = ends.every((end) => end !== undefined) ? Math.min(...(ends as number[])) : undefined;
  let answer = await history(ids, since);
  if (since !== undefined && answer.resolution !== resolution) answer = await history(ids, undefined);
  const whole = since === undefined || answer.resolution !== resolution;
  resolution = answer.resolution;
  users = whole ? answer.users : joined(users, answer.users);
  return { courses: new Map(ids.flatMap((id) => {
    const course = answer.courses[id];
    const before = known.get(id);
    return course ? [[id, whole || !before ? course : joined(before, course)] as const] : [];
  })), users };
}

/** Lists by time, the later one from its first time on. */
export function joined<T extends { times: number[] }>(before: T, after: T): T {
  const from = after.times[0];
  if (from === undefined) return before;
  let keep = before.times.length;
  while (keep > 0 && (before.times[keep - 1] ?? 0) >= from) keep -= 1;
  return Object.fromEntries(Object.entries(after).map(([key, list]) => [key, [...((before as Record<string, unknown[]>)[key] ?? []).slice(0, keep), ...(list as unknown[])]])) as unknown as T;
}

const history = (ids: string[], since: number | undefined) =>
  get<History>(`history?${new URLSearchParams([...ids.map((id) => ["id", id]), ...(since === undefined ? [] : [["since", String(since)]])] as string[][])}`);

export const ratio = () => get<Share[]>("ratio");
export const begin = (form: Settings) => post("start", asked(form));
export const edit = (form: Settings) => post("edit", asked(form));
export const stop = () => post("stop");
export const reset = () => post("reset");
/** Shows the token once; from then on a cookie that no script can read stands for it. */
export const signIn = (token: string) => post("sign-in", { token });
export const signOut = () => post("sign-out");

export async function lines(after: number): Promise<(Said & { n: number })[]> {
  return (await get<{ lines: (Said & { n: number })[] }>(`logs?after=${after}`)).lines;
}

const get = <T>(path: string) => call<T>("GET", path);
const post = (path: string, body: object = {}) => call<{ message: string }>("POST", path, body);

/** @throws {ApiError} with a sentence */
async function call<T>(method: string, path: string, body?: object): Promise<T> {
  let answer: Response;
  try {
    answer = await fetch(`/api/load/${path}`, {
      method, ...(body && { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }), signal: AbortSignal.timeout(10_000),
    });
  } catch {
    throw new ApiError(0, "regatta load does not answer; it may have ended. The page tries again by itself.");
  }
  const data = (await answer.json().catch(() => ({}))) as T & { detail?: string };
  if (!answer.ok) throw new ApiError(answer.status, data.detail ?? `regatta load answered ${answer.status}.`);
  return data;
}
