/** What the tests stand on: the real binary in real processes, and a real Chromium. Each has its own port and folders. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { expect } from "vitest";

/** Long enough that only what hangs is cut off. */
export const HANG = 120_000;

const target = process.env["CARGO_TARGET_DIR"] ?? fileURLToPath(new URL("../../target", import.meta.url));
const BINARY = process.env["REGATTA_BIN"] ?? join(target, "debug/regatta");

/** A process of the binary, ended with the test run. */
class Process {
  readonly child: ChildProcess;
  output = "";
  ended: Promise<void>;

  constructor(args: string[], data: string) {
    // Nothing of the viewer's own configuration, and no token of theirs.
    const env = { PATH: process.env["PATH"], HOME: data, XDG_CONFIG_HOME: data, REGATTA_DATA: data, NO_COLOR: "1" };
    this.child = spawn(BINARY, args, { env, cwd: data, stdio: ["ignore", "pipe", "pipe"] });
    const take = (text: Buffer) => (this.output += text.toString());
    this.child.stdout?.on("data", take);
    this.child.stderr?.on("data", take);
    this.ended = new Promise((resolve) => this.child.once("exit", () => resolve()));
  }

  /** Waits until its output has something. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return until(`${pattern}`, () => {
      const found = pattern.exec(this.output);
      if (!found && this.child.exitCode !== null) throw new Error(`it ended with ${this.child.exitCode}: ${this.output}`);
      return found;
    });
  }

  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    await this.ended;
  }
}

/** A server with its workers, in a folder of its own. */
export class Farm {
  readonly data = mkdtempSync(join(tmpdir(), "regatta-e2e-"));
  url = "";
  #server: Process | undefined;
  #workers: Process[] = [];

  static async start(listen = "localhost:0"): Promise<Farm> {
    const farm = new Farm();
    await farm.serve(listen);
    return farm;
  }

  /** Starts the server; where it ran before, at the same address. */
  async serve(listen = new URL(this.url).host): Promise<void> {
    const database = `sqlite:${join(this.data, "regatta.db")}`;
    this.#server = new Process(["serve", "--listen", listen, "--database", database, "--log-level", "warn"], this.data);
    this.url = (await this.#server.says(/serves at (http:\S+)/))[1] ?? "";
  }

  /** The user's token that a server beyond loopback prints at its first start. */
  async token(): Promise<string> {
    return (await this.#server?.says(/rgu_[0-9a-f]{64}/))?.[0] ?? "";
  }

  async worker(name: string, tools: string, slots = 2, labels = ""): Promise<Process> {
    const data = join(this.data, `worker-${this.#workers.length}`);
    const worker = new Process(
      ["worker", "--server", this.url, "--name", name, "--tools", tools, "--slots", String(slots), "--data-dir", data, ...(labels ? ["--labels", labels] : [])],
      this.data,
    );
    this.#workers.push(worker);
    await until(`the worker ${name}`, async () => {
      if (worker.child.exitCode !== null) throw new Error(`the worker ended: ${worker.output}`);
      const { workers } = (await this.call("GET", "/workers?limit=100")) as { workers: { machine_name: string; status: string }[] };
      return workers.some((one) => one.machine_name === name && one.status !== "offline");
    });
    return worker;
  }

  async killServer(): Promise<void> {
    await this.#server?.end("SIGKILL");
  }

  async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method, headers: { "content-type": "application/json" }, ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  /** Submits a task and returns its id. */
  async submit(task: object): Promise<string> {
    return ((await this.call("POST", "/tasks", task)) as { task_id: string }).task_id;
  }

  /** A task of one program. */
  program(description: string, script: string, name = "Run"): Promise<string> {
    return this.submit({
      description, task_type: "custom",
      subtasks: [{ name, tool: "command", max_attempts: 1, input: { argv: ["sh", "-c", script] } }],
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.end("SIGKILL")));
    await this.#server?.end("SIGKILL");
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** `regatta load` with its page, in a folder of its own. */
export class Load {
  readonly data = mkdtempSync(join(tmpdir(), "regatta-e2e-"));
  url = "";
  #process: Process | undefined;

  static async start(scenario: string, args: string[]): Promise<Load> {
    const load = new Load();
    const file = join(load.data, "scenario.toml");
    writeFileSync(file, scenario);
    load.#process = new Process(["load", "-f", file, "--web-port", "0", "--threads", "1", ...args], load.data);
    load.url = (await load.#process.says(/(http:\/\/(?:localhost|127\.0\.0\.1):\d+)/))[1] ?? "";
    return load;
  }

  /** The token that it makes and prints where others reach it and nobody chose one. */
  async token(): Promise<string> {
    return (await this.#process?.says(/rgl_[0-9a-f]{64}/))?.[0] ?? "";
  }

  async stop(): Promise<void> {
    await this.#process?.end("SIGKILL");
    rmSync(this.data, { recursive: true, force: true });
  }
}

/** A server to be loaded: it answers well, badly and brokenly, and says where its time went. */
export class Target {
  url = "";
  #server: Server | undefined;

  /** `bad` is what it says where it fails. */
  static async start(bad: string): Promise<Target> {
    const target = new Target();
    const server = createServer((request, response) => {
      response.setHeader("server-timing", "kitchen;dur=0.4, table;dur=0.1");
      if (request.url === "/fails") {
        response.writeHead(500, { "content-type": "text/plain" }).end(bad);
      } else response.writeHead(200, { "content-type": "application/json" }).end(request.url === "/broken" ? `{"what": ${JSON.stringify(bad)}}` : "{}");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    target.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    target.#server = server;
    return target;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
  }
}

/** Waits for something that is not nothing. */
export async function until<T>(what: string, look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const end = Date.now() + HANG;
  while (Date.now() < end) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${what} did not happen`);
}

export function findChromium(): string | undefined {
  const places = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return places.find((place) => place && existsSync(place));
}

export async function launch(): Promise<Browser> {
  const executablePath = findChromium();
  if (!executablePath) throw new Error("there is no Chromium: install Debian's package chromium, or set CHROMIUM to one");
  return chromium.launch({
    executablePath,
    // The profile is a fresh folder of Playwright's; nothing is asked of anybody else's servers.
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync",
    ],
  });
}

/** A page that fails its test when a script of it fails or the browser refuses something for the page's policy. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<{ page: Page; close: () => Promise<void> }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(HANG);
  const page = await context.newPage();
  const faults: string[] = [];
  const foreign: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy|TrustedHTML|Trusted Type/i.test(message.text())) faults.push(message.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(new URL(url).origin) && !request.url().startsWith("data:")) foreign.push(request.url());
  });
  await page.goto(url);
  return {
    page,
    close: async () => {
      await context.close();
      expect(faults).toEqual([]);
      expect(foreign, "nothing is loaded from elsewhere").toEqual([]);
    },
  };
}

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe finds against the rules of WCAG 2.2 A and AA and its own best practices. */
export async function axe(page: Page): Promise<string[]> {
  // Through the debugger's protocol, which no page's policy concerns.
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[] }> } };
    const { violations } = await axe.run();
    return violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 3).map((node) => `  ${node.html}\n  ${node.failureSummary ?? ""}`).join("\n")}`);
  });
}

/** Where pictures go; never into the repository. */
const PICTURES = join(target, "web-shots");

/** Takes pictures of pages in both themes at the width of a telephone, a tablet and a desktop. */
export async function shots(browser: Browser, name: string, url: string, paths: string[], ready: (page: Page) => Promise<unknown> = async () => undefined): Promise<void> {
  mkdirSync(PICTURES, { recursive: true });
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 768, 1440]) {
      const context = await browser.newContext({ colorScheme, viewport: { width, height: 900 }, reducedMotion: "reduce" });
      context.setDefaultTimeout(HANG);
      const page = await context.newPage();
      for (const [i, path] of paths.entries()) {
        await page.goto(url + path);
        await page.locator("h1").first().waitFor();
        await page.waitForLoadState("networkidle").catch(() => undefined);
        await ready(page);
        await page.screenshot({ path: join(PICTURES, `${name}-${i + 1}-${width}-${colorScheme}.png`), fullPage: true });
      }
      await context.close();
    }
  }
}
