/** Calls of the API: typed by the OpenAPI document, with the token where one is asked for, errors as sentences. */
import createClient from "openapi-fetch";
import { auth } from "../lib/auth.svelte";
import type { paths } from "./schema";
import type { Problem } from "./types";

/** What a call was answered instead of what it asked for. */
export class ApiError extends Error {
  constructor(
    /** 0 where there was no answer. */
    readonly status: number,
    message: string,
    readonly problem?: Problem,
  ) {
    super(message);
  }
}

const client = createClient<paths>({ baseUrl: "/" });

client.use({
  onRequest({ request }) {
    if (auth.token) request.headers.set("authorization", `Bearer ${auth.token}`);
  },
  onResponse({ response }) {
    if (response.status === 401) auth.refused();
  },
});

export const api = client;

/** The data of an answer. @throws {ApiError} where there is none */
export async function data<T>(call: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  let answer;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. The page tries again by itself.");
  }
  if (answer.response.ok) return answer.data as T;
  const problem = (answer.error ?? {}) as Problem;
  const detail = problem.detail ?? problem.title ?? `The server answered ${answer.response.status}.`;
  throw new ApiError(answer.response.status, detail, problem);
}

/** What went wrong, for people. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
