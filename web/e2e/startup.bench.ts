/** What a page weighs when it is loaded first, and when it can be used on a slow CPU: reported by `make bench`, asserted nowhere. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { Farm, findChromium, launch, Load } from "./rig";

const BUDGET_KB = 150;
const BUDGET_MS = 1_000;
const SLOWER = 4;
const RUNS = 5;
/** So long without anything long to do, in milliseconds, is called interactive. */
const QUIET = 300;

let browser: Browser;
let farm: Farm;
let load: Load | undefined;

beforeAll(async () => {
  if (!findChromium()) return;
  [browser, farm] = await Promise.all([launch(), Farm.start()]);
  await farm.worker("bench", "command,simulate", 4);
  for (let i = 0; i < 20; i += 1) await farm.submit({ description: `A task for the lists, number ${i}`, task_type: "bug_fix" });
});
afterAll(async () => {
  await load?.stop();
  await browser?.close();
  await farm?.stop();
});

interface Start {
  bytes: number;
  /** When its content stood there, and from when on it had nothing long to do for a while: a click is answered at once. */
  shown: number;
  interactive: number;
}

async function start(url: string): Promise<Start> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  const debug = await context.newCDPSession(page);
  await debug.send("Network.enable");
  await debug.send("Emulation.setCPUThrottlingRate", { rate: SLOWER });
  // Files of the page alone: what it then asks the API for depends on what there is.
  const files = new Map<string, number>();
  let bytes = 0;
  debug.on("Network.responseReceived", ({ requestId, type }) => {
    if (["Document", "Script", "Stylesheet", "Image", "Font"].includes(type)) files.set(requestId, 0);
  });
  debug.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (files.has(requestId)) bytes += encodedDataLength;
  });
  await page.addInitScript(() => {
    const seen = { shown: 0, busy: [] as { from: number; to: number }[] };
    Object.assign(globalThis, { seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) seen.busy.push({ from: entry.startTime, to: entry.startTime + entry.duration });
    }).observe({ type: "longtask", buffered: true });
    new MutationObserver((_, observer) => {
      if (!document.querySelector("main h1")) return;
      observer.disconnect();
      requestAnimationFrame(() => (seen.shown = performance.now()));
    }).observe(document, { childList: true, subtree: true });
  });
  await page.goto(url);
  await page.locator("main h1").first().waitFor();
  await page.waitForTimeout(100);
  // What comes later, unasked, is for pages that are not in sight.
  const first = bytes;
  await page.waitForTimeout(1_500);
  const { shown, busy } = await page.evaluate(() => (globalThis as unknown as { seen: { shown: number; busy: { from: number; to: number }[] } }).seen);
  await context.close();
  let interactive = shown;
  for (const { from, to } of busy.sort((a, b) => a.from - b.from)) if (from < interactive + QUIET && to > interactive) interactive = to;
  return { bytes: first, shown, interactive, ...(process.env["REGATTA_BENCH_ALL"] && { busy }) };
}

const middle = (list: number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
const row = (what: string, ours: string, aim: string, met: boolean) => console.log(`${what.padEnd(58)}  ${ours.padStart(9)}  ${aim.padEnd(10)} ${met ? "met" : "MISSED"}`);

test("start of the pages", async () => {
  if (!findChromium()) return console.log("SKIPPED: there is no Chromium (Debian: apt-get install chromium), and CHROMIUM names none");
  load = await Load.start(`[[users]]\nname = "User"\n[[users.tasks]]\nget = "/api/v1/health"\n`, ["--host", farm.url, "--users", "2", "--autostart"]);
  for (const [name = "", url = ""] of [["the console", farm.url], ["the page of a load test", load.url]]) {
    const starts: Start[] = [];
    for (let i = 0; i < RUNS; i += 1) starts.push(await start(url));
    const kb = middle(starts.map(({ bytes }) => bytes)) / 1_024;
    if (process.env["REGATTA_BENCH_ALL"]) console.log(starts);
    const ms = middle(starts.map(({ interactive }) => interactive));
    row(`${name}: first load, compressed`, `${kb.toFixed(0)} KB`, `< ${BUDGET_KB} KB`, kb < BUDGET_KB);
    row(`${name}: interactive, CPU ${SLOWER} times slower`, `${ms.toFixed(0)} ms`, `< ${BUDGET_MS} ms`, ms < BUDGET_MS);
  }
});
