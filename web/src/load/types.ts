/** A load run as the page shows it. Times are milliseconds, rates a second; what was not measured is NaN or null. */

export type Phase = "ready" | "spawning" | "running" | "stopping" | "stopped";

export interface Figures {
  /** By which its course is asked for; empty for all requests together. */
  id: string;
  method: string;
  name: string;
  requests: number;
  failures: number;
  average: number;
  min: number;
  max: number;
  p50: number;
  p95: number;
  p99: number;
  p999: number;
  /** Of an average body. */
  bytes: number;
  rps: number;
  failsPerSecond: number;
  /** Time from sending, where it is another one. */
  service?: { p50: number; p95: number; p99: number };
}

export interface Health {
  valid: boolean;
  /** Why it is not, in sentences. */
  reasons: string[];
  /** Each thread's share of a core. */
  cpu: number[];
  /** How late the threads ran, at the 99th percentile. */
  lag: number;
  /** Arrivals that nobody was free for. */
  dropped: number;
}

export interface Threshold {
  source: string;
  holds: boolean;
  value: number | null;
  /** What it is about: the request, empty for all; and how it is drawn in, where it can be. */
  name: string;
  method: string;
  draw: { chart: "times" | "rates"; limit: number } | null;
}

/** One request's or the total's course: as many values in each list as there are times. */
export interface Course {
  /** Seconds since 1970. */
  times: number[];
  rps: (number | null)[];
  fails: (number | null)[];
  p50: (number | null)[];
  p95: (number | null)[];
  p99: (number | null)[];
  max: (number | null)[];
}

export interface Failure {
  method: string;
  name: string;
  error: string;
  count: number;
  first: number;
  last: number;
}

export interface Exception {
  count: number;
  message: string;
  place: string;
}

export interface Share {
  name: string;
  /** Of its parent's, and of everything. */
  ratio: number;
  total: number;
  tasks: Share[];
}

export interface Stage {
  method: string;
  name: string;
  stage: string;
  count: number;
  average: number;
  max: number;
  /** Its part of the request's time. */
  share: number;
}

export interface State {
  /** Another one after a new run or a reset: what was read of the one before is for nothing. */
  run: string;
  phase: Phase;
  host: string;
  users: number;
  /** Users now, by class. */
  classes: Map<string, number>;
  /** Seconds that were measured. */
  elapsed: number;
  rps: number;
  failsPerSecond: number;
  failRatio: number;
  health: Health;
  thresholds: Threshold[];
}
