/** Lines of a log, up to a million and more: kept in order, filtered as they come, searched a little at a time. */
import type { LogData, LogLevel } from "../api/types";
import { text } from "./ansi";

export interface Line {
  seq: number;
  level: LogLevel;
  time: string;
  subtask: string;
  message: string;
  stale: boolean;
  /** Whether it goes on with what the line before began. */
  more: boolean;
}

/** A line as it comes. */
export type Said = Pick<LogData, "level" | "message" | "timestamp" | "stale"> & { subtask_id?: string };

export interface Filter {
  /** The least level shown. */
  level: LogLevel;
  /** What a line must have in it, without regard to case. */
  search: string;
  /** The subtask whose lines are shown; empty for all. */
  subtask: string;
}

/** So long at most, in milliseconds, lines are searched before the page has its turn. */
const TURN = 12;

const WEIGHT: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };

export class LogLines {
  /** Raised whenever something changed; what draws reads it. */
  version = $state(0);
  /** Numbers that the server did not keep. */
  gaps = $state(0);

  #lines: Line[] = [];
  /** The lines that pass the filter; without one all do. */
  #shown: number[] | null = null;
  /** How many lines were held against the filter. */
  #searched = 0;
  #search: ReturnType<typeof setTimeout> | undefined;
  #filter: Filter = { level: "debug", search: "", subtask: "" };
  #last = 0;
  #pending = false;
  /** Counted apart: who sets a filter must not come to depend on the version. */
  #changes = 0;

  /** Takes a line; one that was taken before is left out. */
  add(seq: number, data: Said): void {
    if (seq <= this.#last) return;
    this.#last = seq;
    let more = false;
    // Rows have one height, so a message of several lines is several rows.
    for (const message of data.message.replace(/\r?\n$/, "").split("\n")) {
      const line: Line = {
        seq, level: data.level, time: data.timestamp, subtask: data.subtask_id ?? "", message, stale: data.stale === true, more,
      };
      this.#lines.push(line);
      more = true;
    }
    // Behind a search that is under way they have their turn.
    if (this.#search === undefined) this.#look();
    this.#changed();
  }

  set filter(filter: Filter) {
    this.#filter = { ...filter, search: filter.search.toLowerCase() };
    const all = filter.level === "debug" && filter.search === "" && filter.subtask === "";
    clearTimeout(this.#search);
    this.#search = undefined;
    this.#shown = all ? null : [];
    this.#searched = 0;
    this.#look();
    this.version = this.#changes += 1;
  }

  /** Whether there are lines that were not held against the filter yet. */
  get searching(): boolean {
    return this.#search !== undefined;
  }

  #look(): void {
    const shown = this.#shown;
    if (!shown) return;
    const until = performance.now() + TURN;
    while (this.#searched < this.#lines.length) {
      const line = this.#lines[this.#searched];
      if (line && this.#fits(line)) shown.push(this.#searched);
      this.#searched += 1;
      if (this.#searched % 500 === 0 && performance.now() > until) {
        this.#search = setTimeout(() => {
          this.#search = undefined;
          this.#look();
          this.version = this.#changes += 1;
        });
        return;
      }
    }
  }

  get total(): number {
    return this.#lines.length;
  }

  /** How many lines pass the filter. */
  get length(): number {
    return this.#shown?.length ?? this.#lines.length;
  }

  /** A line among those that pass the filter. */
  at(i: number): Line | undefined {
    return this.#lines[this.#shown ? (this.#shown[i] ?? -1) : i];
  }

  #fits(line: Line): boolean {
    const { level, search, subtask } = this.#filter;
    return (
      WEIGHT[line.level] >= WEIGHT[level] &&
      (subtask === "" || line.subtask === subtask) &&
      (search === "" || text(line.message).toLowerCase().includes(search))
    );
  }

  /** Many lines at once are drawn once. */
  #changed(): void {
    if (this.#pending) return;
    this.#pending = true;
    setTimeout(() => {
      this.#pending = false;
      this.version = this.#changes += 1;
    }, 50);
  }
}
