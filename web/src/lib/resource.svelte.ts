/** Something that is read from the server, shown, and read again: what was read stays until there is something newer. */
import { sentence } from "../api/client";

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined);
  error = $state<string | undefined>(undefined);
  status = $state(0);
  loading = $state(false);

  #load: (signal: AbortSignal) => Promise<T>;
  #under: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last = 0;

  constructor(load: (signal: AbortSignal) => Promise<T>) {
    this.#load = load;
  }

  /** Reads now; an answer that is still under way is for nothing. */
  async refresh(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#under?.abort();
    const under = new AbortController();
    this.#under = under;
    this.#last = Date.now();
    this.loading = true;
    try {
      const data = await this.#load(under.signal);
      if (under.signal.aborted) return;
      this.data = data;
      this.error = undefined;
    } catch (error) {
      if (under.signal.aborted) return;
      this.error = sentence(error);
      this.status = (error as { status?: number }).status ?? 0;
    } finally {
      if (!under.signal.aborted) this.loading = false;
    }
  }

  /** Reads soon, at most once in `every` milliseconds however often it is called. */
  soon(every = 1_000): void {
    this.#timer ??= setTimeout(() => void this.refresh(), Math.max(30, this.#last + every - Date.now()));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#under?.abort();
  }
}
