/** The names by which the console calls the API's types. */
import type { components } from "./schema";

type Schemas = components["schemas"];

export type TaskSummary = Schemas["TaskSummary"];
export type TaskDetail = Schemas["TaskDetail"];
export type TaskStatus = Schemas["TaskStatus"];
export type TaskType = Schemas["TaskType"];
export type SubtaskRow = Schemas["SubtaskRow"];
export type SubtaskDetail = Schemas["SubtaskDetail"];
export type SubtaskStatus = Schemas["SubtaskStatus"];
export type Attempt = Schemas["Attempt"];
export type CreateTask = Schemas["CreateTask"];
export type Step = Schemas["Step"];
export type WorkerSummary = Schemas["WorkerSummary"];
export type WorkerDetail = Schemas["WorkerDetail"];
export type WorkerStatus = Schemas["WorkerStatus"];
export type Stats = Schemas["Stats"];
export type HealthDetailed = Schemas["HealthDetailed"];
export type LogData = Schemas["LogData"];
export type LogLevel = Schemas["LogLevel"];
export type Problem = Schemas["Problem"];

export const TASK_STATUSES = [
  "pending", "initializing", "in_progress", "checkpoint", "completed", "failed", "cancelled",
] as const satisfies readonly TaskStatus[];
export const TASK_TYPES = [
  "develop_feature", "bug_fix", "refactor", "code_review", "documentation", "testing", "custom",
] as const satisfies readonly TaskType[];

/** A frame of `/api/v1/ws`; the document has one schema for each kind, these are the ones that the console reads. */
export type Frame =
  | { type: "task_update"; data: TaskSummary; _seq?: number | null; timestamp: string }
  | { type: "subtask_update"; data: SubtaskRow & { task_id: string }; _seq?: number | null; timestamp: string }
  | { type: "log"; data: LogData; _seq?: number | null; timestamp: string }
  | { type: "worker_update"; data: WorkerSummary; timestamp: string }
  | { type: "subscribed" | "unsubscribed"; data: Topic }
  | { type: "resync" | "pong" }
  | { type: "lagged"; missed: number }
  | { type: "gap"; from: number; to: number }
  | { type: "error"; data: { message: string } };

export type Topic = { type: "tasks" | "workers" } | { type: "task"; task_id: string } | { type: "worker"; worker_id: string };
