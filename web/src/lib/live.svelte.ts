/**
 * The one WebSocket of the page. Parts of the page watch topics; a topic of a task goes on after a break from the number at
 * which it stopped, lists are read again. It says in words how fresh what is shown is.
 */
import { api } from "../api/client";
import type { Frame, Topic } from "../api/types";
import { auth } from "./auth.svelte";

export type LiveState = "connecting" | "live" | "reconnecting" | "stale";

export interface Watch {
  topic: Topic;
  /** For a task: the first number wanted, asked at each (re)connect. */
  fromSeq?: () => number;
  frame: (frame: Frame) => void;
  /** Something may have been missed: read again what is shown. Also called when the connection is there (again). */
  resync?: () => void;
}

/** Without a sign of life for so long after a ping the connection is given up. */
const PING_EVERY = 15_000;
const PONG_WITHIN = 8_000;
/** A break longer than this is called stale. */
const STALE_AFTER = 6_000;
const BACKOFF = [300, 700, 1_500, 3_000, 5_000];

class Live {
  state = $state<LiveState>("connecting");
  /** When the page was last up to date, while it is not. */
  since = $state<Date | null>(null);

  #watches = new Set<Watch>();
  #socket: WebSocket | null = null;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stale: ReturnType<typeof setTimeout> | undefined;
  #heard = 0;

  /** Opens the connection and keeps it; called once, when the page starts. */
  start(): void {
    addEventListener("online", () => this.now());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.now());
    setInterval(() => this.#check(), PING_EVERY);
    this.#connect();
  }

  /** Tries again without waiting. */
  now(): void {
    if (this.#socket === null) this.#connect();
  }

  /** Watches a topic until the function that it returns is called. */
  watch(watch: Watch): () => void {
    const first = !this.#others(watch.topic);
    this.#watches.add(watch);
    if (this.#open() && (first || watch.fromSeq)) this.#subscribe(watch);
    return () => {
      this.#watches.delete(watch);
      if (this.#open() && !this.#others(watch.topic)) this.#send({ action: "unsubscribe", ...watch.topic });
    };
  }

  #others(topic: Topic): boolean {
    const key = JSON.stringify(topic);
    return [...this.#watches].some((other) => JSON.stringify(other.topic) === key);
  }

  #open(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  #connect(): void {
    clearTimeout(this.#retry);
    if (auth.needed) {
      // Whoever signs in has the connection tried again.
      this.#retry = setTimeout(() => this.#connect(), 300);
      return;
    }
    const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/api/v1/ws`;
    // Browsers give no headers to a WebSocket, and a URL is written down in many places: the token goes as a subprotocol.
    const socket = new WebSocket(url, auth.token ? ["regatta", `regatta.token.${auth.token}`] : ["regatta"]);
    this.#socket = socket;
    socket.onopen = () => {
      this.#failures = 0;
      this.#heard = Date.now();
      clearTimeout(this.#stale);
      this.#stale = undefined;
      this.state = "live";
      this.since = null;
      const seen = new Set<string>();
      for (const watch of this.#watches) {
        const key = JSON.stringify(watch.topic);
        if (!seen.has(key) || watch.fromSeq) this.#subscribe(watch);
        seen.add(key);
        watch.resync?.();
      }
    };
    socket.onmessage = (message: MessageEvent<string>) => {
      this.#heard = Date.now();
      this.#frame(JSON.parse(message.data) as Frame);
    };
    socket.onclose = (close) => this.#lost(socket, close.code);
  }

  #lost(socket: WebSocket, code: number): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    if (this.state === "live" || this.state === "connecting") {
      this.since ??= new Date();
      this.state = "reconnecting";
      this.#stale ??= setTimeout(() => (this.state = "stale"), STALE_AFTER);
    }
    // A refused handshake looks like any other break; a call tells them apart, and asks for a token where it is that.
    if (this.#failures > 0 || code === 1008) void api.GET("/api/v1/stats").catch(() => undefined);
    const wait = BACKOFF[Math.min(this.#failures, BACKOFF.length - 1)] ?? 5_000;
    this.#failures += 1;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#connect(), wait * (0.75 + Math.random() / 2));
  }

  /** A server that hangs closes nothing. */
  #check(): void {
    if (!this.#open()) return;
    const asked = Date.now();
    this.#send({ action: "ping" });
    const socket = this.#socket;
    setTimeout(() => {
      if (socket && this.#socket === socket && this.#heard < asked) {
        socket.close();
        this.#lost(socket, 0);
      }
    }, PONG_WITHIN);
  }

  #subscribe(watch: Watch): void {
    const from = watch.fromSeq ? { from_seq: watch.fromSeq() } : {};
    this.#send({ action: "subscribe", ...watch.topic, ...from });
  }

  #send(action: object): void {
    if (this.#open()) this.#socket?.send(JSON.stringify(action));
  }

  #frame(frame: Frame): void {
    for (const watch of this.#watches) {
      if (frame.type === "resync" || frame.type === "lagged") watch.resync?.();
      else if (concerns(watch.topic, frame)) watch.frame(frame);
    }
  }
}

function concerns(topic: Topic, frame: Frame): boolean {
  switch (frame.type) {
    case "task_update":
      return topic.type === "tasks" || (topic.type === "task" && topic.task_id === frame.data.task_id);
    case "subtask_update":
    case "log":
      return topic.type === "task" && topic.task_id === frame.data.task_id;
    case "worker_update":
      return topic.type === "workers" || (topic.type === "worker" && topic.worker_id === frame.data.worker_id);
    case "gap":
      // It names no task; who watches one looks what it lacks.
      return topic.type === "task";
    default:
      return false;
  }
}

export const live = new Live();
