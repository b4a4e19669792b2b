/** Who ran what when: the attempts of a task's steps, put together from its events. */
import type { SubtaskRow } from "../api/types";

export interface Run {
  attempt: number;
  worker: string | undefined;
  tool: string | undefined;
  /** Milliseconds since 1970. */
  from: number;
  /** Absent while it runs. */
  to: number | undefined;
  /** How it ended: the state that the step took, `queued` where it is tried again. */
  outcome: SubtaskRow["status"];
}

/** Attempts by step. Events come in order; what comes twice changes nothing. A list that changed is another list. */
export class Timeline {
  #runs = new Map<string, readonly Run[]>();

  /** Takes a state of a step and when it was so. */
  take(step: SubtaskRow, at: string): void {
    const runs = this.runs(step.subtask_id);
    const last = runs.at(-1);
    const run = (from: string, to?: string): Run => ({
      attempt: step.attempt, worker: step.assigned_worker ?? undefined, tool: step.assigned_tool ?? undefined,
      from: Date.parse(from), to: to === undefined ? undefined : Date.parse(to), outcome: step.status,
    });
    if (step.status === "in_progress") {
      if (last && last.attempt >= step.attempt) return;
      const before = last && last.to === undefined ? [...runs.slice(0, -1), ended(last, "queued", at)] : runs;
      this.#runs.set(step.subtask_id, [...before, run(step.started_at ?? at)]);
    } else if (last && last.to === undefined && step.attempt >= last.attempt) {
      this.#runs.set(step.subtask_id, [...runs.slice(0, -1), ended(last, step.status, step.completed_at ?? at)]);
    } else if (!last && step.started_at && step.completed_at && step.attempt > 0) {
      // Its events are not kept any more; what the step itself says is left.
      this.#runs.set(step.subtask_id, [run(step.started_at, step.completed_at)]);
    }
  }

  runs(step: string): readonly Run[] {
    return this.#runs.get(step) ?? NONE;
  }
}

const NONE: readonly Run[] = [];

function ended(run: Run, outcome: Run["outcome"], at: string): Run {
  return { ...run, to: Math.max(run.from, Date.parse(at)), outcome };
}

/** Round marks of a time axis: at most `most` of them between 0 and `span` milliseconds. */
export function ticks(span: number, most: number): number[] {
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 432e5, 864e5];
  const step = steps.find((one) => span / one <= most) ?? Math.ceil(span / most / 864e5) * 864e5;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, i) => i * step);
}
