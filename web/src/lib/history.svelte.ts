/** What the overview's charts show: the server's figures, looked at every two seconds while the page is open. */
import { api, data } from "../api/client";
import type { Stats } from "../api/types";
import { sentence } from "../api/client";

const EVERY = 2_000;
const KEPT = 450;

class History {
  stats = $state.raw<Stats | undefined>(undefined);
  error = $state<string | undefined>(undefined);
  times = $state.raw<number[]>([]);
  completed = $state.raw<(number | null)[]>([]);
  failed = $state.raw<(number | null)[]>([]);
  queue = $state.raw<(number | null)[]>([]);
  run = $state.raw<(number | null)[]>([]);
  /** Steps completed a second on average over the server's window; it is known of the time before the page was opened too. */
  average = $state.raw<(number | null)[]>([]);

  #timer: ReturnType<typeof setInterval> | undefined;
  #watchers = 0;
  #before: { at: number; completed: number; failed: number } | undefined;
  #busy = false;

  /** Looks until the function that it returns is called. */
  follow(): () => void {
    this.#watchers += 1;
    if (this.#watchers === 1) {
      void this.look();
      this.#timer = setInterval(() => void this.look(), EVERY);
    }
    return () => {
      this.#watchers -= 1;
      if (this.#watchers === 0) clearInterval(this.#timer);
    };
  }

  async look(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const stats = await data(api.GET("/api/v1/stats"));
      this.stats = stats;
      this.error = undefined;
      this.#take(stats);
    } catch (error) {
      this.error = sentence(error);
      this.#before = undefined;
    } finally {
      this.#busy = false;
    }
  }

  #take(stats: Stats): void {
    const now = { at: Date.now() / 1_000, completed: stats.subtasks.completed, failed: stats.subtasks.failed };
    const before = this.#before;
    this.#before = now;
    const span = before ? now.at - before.at : 0;
    // A page that slept, tasks that were deleted: no rate is better than a wrong one.
    const rate = (to: number, from: number) => (before && span < 3 * EVERY / 1_000 && to >= from ? (to - from) / span : null);
    const add = <T>(list: T[], value: T) => [...list, value].slice(-KEPT);
    const { latency, throughput } = stats;
    if (this.times.length === 0) {
      // All that the server tells of the time before: the average over its window.
      this.times = [now.at - throughput.window_seconds];
      this.average = [throughput.subtasks_per_second];
      this.completed = this.failed = this.queue = this.run = [null];
    }
    this.times = add(this.times, now.at);
    this.completed = add(this.completed, rate(now.completed, before?.completed ?? 0));
    this.failed = add(this.failed, rate(now.failed, before?.failed ?? 0));
    this.average = add(this.average, throughput.subtasks_per_second);
    this.queue = add(this.queue, latency.queue.count > 0 ? latency.queue.p95_ms : null);
    this.run = add(this.run, latency.run.count > 0 ? latency.run.p95_ms : null);
  }
}

export const history = new History();
