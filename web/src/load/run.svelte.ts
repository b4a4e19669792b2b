/** The run that the page shows: asked for once a second, and only what is in sight. */
import { LogLines } from "../lib/logs.svelte";
import { ApiError, sentence } from "../api/client";
import * as api from "./api";
import type { Settings } from "./form";
import type { Course, Exception, Failure, Figures, Share, Stage, State } from "./types";

const EVERY = 1_000;
/** Without an answer for so long the page says that it is old. */
const LOST = 3_000;

class Run {
  state = $state.raw<State | undefined>(undefined);
  options = $state.raw<api.Options | undefined>(undefined);
  /** What was asked for last. */
  settings = $state.raw<Settings>(api.NOTHING);
  rows = $state.raw<Figures[]>([]);
  total = $state.raw<Figures | undefined>(undefined);
  failures = $state.raw<Failure[]>([]);
  exceptions = $state.raw<Exception[]>([]);
  stages = $state.raw<Stage[]>([]);
  ratio = $state.raw<Share[]>([]);
  users = $state.raw<{ times: number[]; counts: (number | null)[] }>({ times: [], counts: [] });
  courses = $state.raw(new Map<string, Course>());
  log = $state.raw(new LogLines());
  error = $state<string | undefined>(undefined);
  /** Since when nothing was heard of the generator. */
  lost = $state<number | undefined>(undefined);
  /** Whether somebody must sign in first. */
  locked = $state(false);
  /** Why the token that was shown does not do. */
  wrong = $state<string | undefined>(undefined);
  tab = "";

  #wanted = new Map<string, number>();
  #heard = Date.now();
  #asking = false;
  #line = 0;

  start(): void {
    void this.look();
    setInterval(() => {
      if (!this.locked && this.lost === undefined && Date.now() - this.#heard > LOST) this.lost = this.#heard;
      if (document.visibilityState === "visible") void this.look();
    }, EVERY);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && void this.look());
  }

  /** Has the course of a request read until the function that it returns is called. */
  want(id: string): () => void {
    this.#wanted.set(id, (this.#wanted.get(id) ?? 0) + 1);
    if (!this.courses.has(id)) void this.#course([id]);
    return () => {
      const left = (this.#wanted.get(id) ?? 1) - 1;
      if (left > 0) this.#wanted.set(id, left);
      else this.#wanted.delete(id);
    };
  }

  async look(): Promise<void> {
    if (this.#asking || this.locked) return;
    this.#asking = true;
    try {
      this.options ??= await api.options();
      const { state, settings, ...figures } = await api.figures();
      if (state.run !== this.state?.run) this.#forget();
      this.state = state;
      this.settings = settings;
      Object.assign(this, figures);
      if (this.tab === "charts") await this.#course([...this.#wanted.keys()]);
      if (this.tab === "ratio") this.ratio = await api.ratio();
      if (this.tab === "logs") await this.#lines();
      this.error = undefined;
      this.lost = undefined;
      this.#heard = Date.now();
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) this.#lock();
      else this.error = sentence(error);
    } finally {
      this.#asking = false;
    }
  }

  async signIn(token: string): Promise<void> {
    try {
      await api.signIn(token);
      this.wrong = undefined;
      this.locked = false;
    } catch (error) {
      this.wrong = sentence(error);
    }
    await this.look();
  }

  async signOut(): Promise<string> {
    await api.signOut();
    this.#lock();
    return "Signed out";
  }

  async begin(settings: Settings): Promise<void> {
    await api.begin(settings);
    await this.look();
  }

  async edit(settings: Settings): Promise<string> {
    await api.edit(settings);
    await this.look();
    return "The run is changed";
  }

  async stop(): Promise<string> {
    await api.stop();
    await this.look();
    return "The run stops";
  }

  async reset(): Promise<string> {
    await api.reset();
    await this.look();
    return "What was measured is forgotten";
  }

  /** Nothing of what was read stays in sight. */
  #lock(): void {
    this.locked = true;
    this.lost = undefined;
    this.error = undefined;
    this.state = undefined;
    this.options = undefined;
    this.log = new LogLines();
    this.#line = 0;
    this.#forget();
  }

  #forget(): void {
    this.courses = new Map();
    this.users = { times: [], counts: [] };
  }

  async #course(ids: string[]): Promise<void> {
    if (ids.length === 0) return;
    const { courses, users } = await api.courses(ids, this.courses);
    const all = new Map([...this.courses].filter(([id]) => this.#wanted.has(id)));
    for (const [id, course] of courses) all.set(id, course);
    this.courses = all;
    if (users) this.users = users;
  }

  async #lines(): Promise<void> {
    for (const { n, ...line } of await api.lines(this.#line)) {
      this.log.add(n, line);
      this.#line = n;
    }
  }
}

export const run = new Run();

/** What can be taken away. */
export const FILES = [
  { href: "/stats/requests/csv", name: "Requests, CSV", what: "A row a request, with its percentiles" },
  { href: "/stats/requests_full_history/csv", name: "History, CSV", what: "Each second of each request" },
  { href: "/stats/failures/csv", name: "Failures, CSV", what: "What went wrong, how often, when" },
  { href: "/exceptions/csv", name: "Exceptions, CSV", what: "What the scenario itself did wrong" },
  { href: "/stats/requests_json", name: "Requests, JSON", what: "The same as with --json" },
  { href: "/stats/report?download=1", name: "Report, HTML", what: "Tables and charts in one file, to be kept and sent" },
];
