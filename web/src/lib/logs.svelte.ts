/** The lines of a task's log, up to a million and more: kept in order, filtered as they come. */
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

export interface Filter {
  /** The least level shown. */
  level: LogLevel;
  /** What a line must have in it, without regard to case. */
  search: string;
  /** The subtask whose lines are shown; empty for all. */
  subtask: string;
}

const WEIGHT: Record<LogLevel, number> = { debug: 0, info: 1, warning: 2, error: 3 };

export class LogLines {
  /** Raised whenever something changed; what draws reads it. */
  version = $state(0);
  /** Numbers that the server did not keep. */
  gaps = $state(0);

  #lines: Line[] = [];
  #shown: number[] | null = null;
  #filter: Filter = { level: "debug", search: "", subtask: "" };
  #last = 0;
  #pending = false;
  /** Counted apart: who sets a filter must not come to depend on the version. */
  #changes = 0;

  /** Takes a line; one that was taken before is left out. */
  add(seq: number, data: LogData): void {
    if (seq <= this.#last) return;
    this.#last = seq;
    let more = false;
    // Rows have one height, so a message of several lines is several rows.
    for (const message of data.message.replace(/\r?\n$/, "").split("\n")) {
      const line: Line = {
        seq, level: data.level, time: data.timestamp, subtask: data.subtask_id, message, stale: data.stale === true, more,
      };
      this.#lines.push(line);
      if (this.#shown && this.#fits(line)) this.#shown.push(this.#lines.length - 1);
      more = true;
    }
    this.#changed();
  }

  set filter(filter: Filter) {
    this.#filter = { ...filter, search: filter.search.toLowerCase() };
    const all = filter.level === "debug" && filter.search === "" && filter.subtask === "";
    this.#shown = null;
    if (!all) {
      const shown: number[] = [];
      this.#lines.forEach((line, i) => this.#fits(line) && shown.push(i));
      this.#shown = shown;
    }
    this.version = this.#changes += 1;
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

/** Which rows of a list are in sight. Browsers bound the height of elements, so very long lists are scrolled in proportion. */
export function visible(total: number, row: number, scrollTop: number, viewport: number) {
  const real = total * row;
  const height = Math.min(real, 8_000_000);
  const range = height - viewport;
  const top = range > 0 && height < real ? (Math.min(scrollTop, range) / range) * (real - viewport) : scrollTop;
  const first = Math.max(0, Math.floor(top / row) - 10);
  const last = Math.min(total, Math.ceil((top + viewport) / row) + 10);
  return { height, first, last, offset: scrollTop + first * row - top };
}
