/** What waits, by who can end it: time and the fleet do, or only a person. The server's sentences say what to do where one must. */
import type { Stats } from "../api/types";

type Waiting = NonNullable<Stats["waiting"]>;

export interface Reason {
  /** Why it waits. */
  reason: string;
  /** What a person can do about it, where only a person can. */
  way?: string;
  /** The same as a command, where it is one. */
  command?: string;
  subtasks: number;
}

const WAY = /^(.+?); ((?:start|require|let) .+)$/;
const COMMAND = /^start (?:one|another): (regatta .+)$/;

export function reasonOf({ waiting_for, subtasks }: Waiting[number]): Reason {
  const found = WAY.exec(waiting_for);
  if (!found) return { reason: waiting_for, subtasks };
  const [, reason = "", way = ""] = found;
  const command = COMMAND.exec(way)?.[1];
  return { reason, way, ...(command !== undefined && { command }), subtasks };
}

/** Those that wait for a person, and the others. */
export function byWho(waiting: Waiting): { person: Reason[]; fleet: Reason[] } {
  const all = waiting.map(reasonOf);
  return { person: all.filter(({ way }) => way !== undefined), fleet: all.filter(({ way }) => way === undefined) };
}

/** Whether a task that is not planned waits to be started by someone, and not for its time. */
export function forSomeone(task: { waiting_for?: string | null }): boolean {
  return task.waiting_for?.startsWith("someone ") === true;
}
