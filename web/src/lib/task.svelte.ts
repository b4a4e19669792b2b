/**
 * One task as the page shows it: what was read, and what its stream of events says since. The stream is read from its first
 * number, because it alone knows the attempts that were and the lines of log; after a break it goes on where it stopped.
 */
import { api, data } from "../api/client";
import type { Frame, SubtaskRow, TaskDetail } from "../api/types";
import { live } from "./live.svelte";
import { LogLines } from "./logs.svelte";
import { Resource } from "./resource.svelte";
import { Timeline } from "./timeline";

export const ENDED: readonly string[] = ["completed", "failed", "cancelled"];

export class TaskView {
  readonly log = new LogLines();
  readonly timeline = new Timeline();
  readonly detail: Resource<TaskDetail>;
  /** The task without its steps. */
  task = $state.raw<TaskDetail | undefined>(undefined);
  /** Its steps, in the plan's order. */
  steps = $state.raw<SubtaskRow[]>([]);
  /** Raised when a step changed; what depends on attempts reads it. */
  version = $state(0);

  /** What is shown at the next drawing: the task and its steps change together. */
  #task: TaskDetail | undefined;
  #rows = new Map<string, SubtaskRow>();
  #seen = 0;
  /** The answer that was taken over last. */
  #latest: TaskDetail | undefined;
  /** When what was read was so: older events only tell of the past. */
  #readAt = 0;
  #drawing: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly id: string) {
    this.detail = new Resource((signal) => data(api.GET("/api/v1/tasks/{task_id}", { params: { path: { task_id: id } }, signal })));
  }

  /** Reads and watches until the function that it returns is called. */
  follow(): () => void {
    void this.#read();
    const off = live.watch({
      topic: { type: "task", task_id: this.id },
      fromSeq: () => this.#seen + 1,
      frame: (frame) => this.#frame(frame),
      resync: () => void this.#read(),
    });
    // Reasons to wait change by themselves.
    const slow = setInterval(() => this.task && !ENDED.includes(this.task.status) && void this.#read(), 5_000);
    return () => {
      off();
      clearInterval(slow);
      clearTimeout(this.#drawing);
      this.detail.stop();
    };
  }

  async refresh(): Promise<void> {
    await this.#read();
  }

  async #read(): Promise<void> {
    await this.detail.refresh();
    const { data: task } = this.detail;
    if (!task || task === this.#latest) return;
    this.#latest = task;
    const times = task.subtasks.flatMap((step) => [step.queued_at, step.started_at, step.completed_at]);
    this.#readAt = Math.max(Date.parse(task.updated_at), ...times.map((time) => (time ? Date.parse(time) : 0)));
    this.#task = task;
    this.#rows = new Map(task.subtasks.map((step) => [step.subtask_id, step]));
    this.#draw();
  }

  #frame(frame: Frame): void {
    if (frame.type === "gap") {
      for (const step of this.#rows.values()) this.timeline.take(step, step.completed_at ?? step.started_at ?? "");
      this.log.gaps += 1;
      return;
    }
    if (!("_seq" in frame) || frame._seq == null || frame._seq <= this.#seen) return;
    this.#seen = frame._seq;
    const current = Date.parse(frame.timestamp) >= this.#readAt;
    if (frame.type === "log") this.log.add(frame._seq, frame.data);
    else if (frame.type === "subtask_update") {
      const { task_id: _, ...step } = frame.data;
      this.timeline.take(step, frame.timestamp);
      if (current || !this.#task) this.#rows.set(step.subtask_id, step);
      this.#draw();
    } else if (frame.type === "task_update" && current && this.#task) {
      // A row's description is cut.
      const { description: _, ...rest } = frame.data;
      this.#task = { ...this.#task, ...rest, waiting_for: rest.waiting_for };
      this.#draw();
      if (ENDED.includes(rest.status)) void this.#read();
    }
  }

  /** Many changes at once are drawn once. */
  #draw(): void {
    this.#drawing ??= setTimeout(() => {
      this.#drawing = undefined;
      this.task = this.#task;
      this.steps = [...this.#rows.values()];
      this.version += 1;
    }, 40);
  }
}
