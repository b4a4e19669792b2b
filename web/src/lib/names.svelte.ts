/** The names of workers, for pages that know only their ids. */
import { SvelteMap } from "svelte/reactivity";
import { api } from "../api/client";
import { shortId } from "./format";

const known = new SvelteMap<string, string>();
const asked = new Set<string>();
let listed = false;

/** A worker's name; its short id until the name is there. */
export function workerName(id: string): string {
  const name = known.get(id);
  if (name !== undefined) return name;
  if (!listed) {
    listed = true;
    void api.GET("/api/v1/workers", { params: { query: { limit: 100 } } }).then(({ data }) => {
      for (const worker of data?.workers ?? []) known.set(worker.worker_id, worker.machine_name);
    }).catch(() => undefined);
  }
  // The list may not have it; asked for alone, a moment later and once.
  if (!asked.has(id)) {
    asked.add(id);
    setTimeout(() => {
      if (known.has(id)) return;
      void api.GET("/api/v1/workers/{worker_id}", { params: { path: { worker_id: id } } }).then(({ data }) => {
        if (data) known.set(id, data.machine_name);
      }).catch(() => undefined);
    }, 500);
  }
  return shortId(id);
}
