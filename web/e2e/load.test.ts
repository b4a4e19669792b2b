/** The page of `regatta load`, started, edited, stopped and read in a real browser: the real generator against a real server. */
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { axe, launch, Load, open, Target, until } from "./rig";

const EVIL = `<img src=x onerror="globalThis.hacked=1">`;
const SCENARIO = `
thresholds = ["http_req_duration: p(95)<60000", "http_req_failed{name:/fails}: rate<0.01"]
[[users]]
name = "Buyer<img/src=x/onerror=globalThis.hacked=1>"
weight = 2
wait = { constant = "50ms" }
[[users.tasks]]
get = "/ok"
name = '/ok ${EVIL}'
tags = ["read"]
[[users.tasks]]
get = "/fails"
tags = ["write"]
[[users]]
name = "Reader"
wait = { constant = "50ms" }
[[users.tasks]]
weight = 4
get = "/ok"
name = "/plain"
tags = ["read"]
[[users.tasks]]
get = "/broken"
extract = { none = '$.none' }
tags = ["read"]
[[users.tasks]]
get = "/use/{{ none }}"
name = "/use"
tags = ["read"]
`;

let browser: Browser;
let target: Target;
const loads: Load[] = [];

beforeAll(async () => {
  [browser, target] = await Promise.all([launch(), Target.start(EVIL)]);
});
afterEach(async () => {
  await Promise.all(loads.splice(0).map((load) => load.stop()));
});
afterAll(async () => {
  await browser?.close();
  await target?.stop();
});

async function load(scenario: string, ...args: string[]): Promise<Load> {
  const one = await Load.start(scenario, ["--host", target.url, ...args]);
  loads.push(one);
  return one;
}
const phase = (page: Page) => page.getByTestId("phase").innerText();
const figure = async (page: Page, name: string) => (await page.locator(".figures div", { hasText: name }).locator("dd").innerText()).trim();
const tab = (page: Page, name: string) => page.getByRole("tab", { name: new RegExp(`^${name}`) });

test("a run is started, edited, stopped, taken away and begun anew, by the keyboard alone", async () => {
  const { url } = await load(SCENARIO);
  const { page, close } = await open(browser, url, { acceptDownloads: true });
  const start = page.getByRole("button", { name: "Start" });
  // What cannot be is said beside its field, and nothing is sent.
  await page.getByLabel("Users", { exact: true }).fill("many");
  await page.keyboard.press("Enter");
  await page.getByText("A whole number, 1 or more").waitFor();
  expect(await phase(page)).toBe("ready");
  await page.getByLabel("Users", { exact: true }).fill("4");
  await page.getByLabel("Spawn rate").fill("20");
  await start.focus();
  await page.keyboard.press("Enter");
  await until("running", async () => (await phase(page)) === "running");
  await until("its users", async () => (await figure(page, "Users")) === "4");
  await until("requests", async () => (await page.getByRole("rowheader", { name: "/plain" }).count()) === 1);

  await page.keyboard.press("e");
  await page.getByRole("dialog").getByLabel("Users", { exact: true }).fill("7");
  await page.keyboard.press("Enter");
  await until("more users", async () => (await figure(page, "Users")) === "7");

  // The tabs by arrows, each with what was measured.
  await tab(page, "Statistics").focus();
  for (const [name, text] of [["Charts", "Each request"], ["Failures", "500"], ["Exceptions", "none"], ["Current ratio", "Reader"], ["Where the time goes", "kitchen"], ["Download data", "Requests, CSV"], ["Logs", ""]] as const) {
    await page.keyboard.press("ArrowRight");
    await until(name, async () => (await page.getByRole("tab", { selected: true }).innerText()).startsWith(name));
    await until(`${name}: ${text}`, async () => (await page.getByRole("tabpanel").innerText()).includes(text));
  }
  await tab(page, "Charts").click();
  await until("the charts of all and of each", async () => (await page.locator(".plot canvas").count()) >= 5);
  await until("the values", async () => Number((await page.locator(".key", { hasText: "requests" }).first().locator("b").innerText()).replace(/[^\d.]/g, "")) > 0);

  await page.keyboard.press("s");
  await until("stopped", async () => (await phase(page)) === "stopped");
  await tab(page, "Download data").click();
  for (const [name, has] of [["Requests, CSV", "/plain"], ["Failures, CSV", "/fails"], ["Report, HTML", "/plain"]] as const) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name }).click()]);
    expect(readFileSync(await download.path(), "utf8"), name).toContain(has);
  }
  await page.keyboard.press("n");
  await page.getByRole("dialog").getByLabel("Users", { exact: true }).fill("2");
  await page.getByRole("dialog").getByLabel("Run time").fill("2s");
  await page.getByRole("dialog").getByRole("button", { name: "Start" }).press("Enter");
  await until("another run", async () => (await phase(page)) === "running" || (await figure(page, "Users")) === "2");
  await until("its end", async () => (await phase(page)) === "stopped");
  await close();
});

test("what was measured is forgotten when it is asked for, and only then", async () => {
  const { url } = await load(SCENARIO, "--users", "2", "--autostart");
  const { page, close } = await open(browser, url);
  const requests = async () => Number((await page.locator("tfoot td").nth(1).innerText()).replaceAll(",", ""));
  await until("requests", async () => (await page.locator("tfoot td").count()) > 1 && (await requests()) > 60);
  await page.getByRole("button", { name: "Reset" }).click();
  await page.getByRole("button", { name: "Keep it as it is" }).click();
  expect(await requests()).toBeGreaterThan(60);
  await page.getByRole("button", { name: "Reset" }).click();
  await page.getByRole("button", { name: "Reset the statistics" }).click();
  await until("it begins anew", async () => (await requests()) < 60);
  expect(await phase(page)).toBe("running");
  await close();
});

test("a generator that is the bottleneck makes the header say invalid, and why", async () => {
  const { url } = await load(SCENARIO, "--users", "1");
  const { page, close } = await open(browser, url);
  await page.getByRole("button", { name: "Arrival rate" }).click();
  await page.getByLabel("Arrival rate").last().fill("20000");
  await page.getByRole("button", { name: "Start" }).click();
  const why = page.getByRole("alert");
  await until("invalid", async () => /Invalid:[^]*arrivals were dropped/.test(await why.innerText()));
  expect(await page.title()).toMatch(/^Invalid/);
  expect(await page.locator(".health").innerText()).toContain("saturated");
  await close();
});

test("what is hostile in names, errors and logs stays text", async () => {
  const { url } = await load(SCENARIO, "--users", "4", "--spawn-rate", "20", "--autostart");
  const { page, close } = await open(browser, url);
  await until("all rows", async () => (await page.locator("tbody tr").count()) >= 4);
  for (const name of ["Statistics", "Charts", "Failures", "Exceptions", "Current ratio", "Where the time goes", "Logs"]) {
    await tab(page, name).click();
    await page.waitForTimeout(1_200);
    expect(await page.locator("img").count(), name).toBe(0);
    expect(await page.evaluate(() => "hacked" in globalThis), name).toBe(false);
  }
  await tab(page, "Statistics").click();
  await page.getByRole("button", { name: `/ok ${EVIL}` }).click();
  await until("its charts", async () => (await page.getByLabel("Search requests").inputValue()).includes(EVIL));
  await close();
});

test("where others reach it, it asks for a token, keeps that nowhere, and shows nothing before and after", async () => {
  const loading = await load(SCENARIO, "--web-host", "0.0.0.0", "--users", "2", "--autostart");
  const { page, close } = await open(browser, loading.url, { acceptDownloads: true });
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  const field = page.getByLabel("Token");
  await field.waitFor();
  expect(await page.getByTestId("phase").count()).toBe(0);
  expect(await axe(page)).toEqual([]);
  await field.fill("not the token");
  await page.keyboard.press("Enter");
  await page.getByText("That token does not count here").waitFor();
  const token = await loading.token();
  await field.fill(token);
  await page.keyboard.press("Enter");
  await until("running", async () => (await phase(page)) === "running");
  // A session stands for it, which no script sees; links and a reload come with it.
  expect(await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage))).not.toMatch(/rgl_|regatta-load/);
  await tab(page, "Download data").click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Requests, CSV" }).click()]);
  expect(readFileSync(await download.path(), "utf8")).toContain("/plain");
  await page.reload();
  await until("still running", async () => (await phase(page)) === "running");
  await page.getByRole("button", { name: "Sign out" }).click();
  await field.waitFor();
  expect(await page.getByTestId("phase").count()).toBe(0);
  await page.reload();
  await field.waitFor();
  expect(urls.filter((url) => url.includes("rgl_"))).toEqual([]);
  await close();
});

test("a thousand requests: only the rows in sight are there, sorted and searched", async () => {
  const tasks = Array.from({ length: 1_000 }, (_, i) => `[[users.tasks]]\nget = "/ok"\nname = "/request/${i}"\n`).join("");
  const { url } = await load(`[[users]]\nname = "Many"\nwait = "none"\n${tasks}`, "--users", "4", "--spawn-rate", "20", "--autostart");
  const { page, close } = await open(browser, url);
  await until("all of them", async () => (await page.getByText("1,000 requests").count()) > 0);
  expect(await page.locator("tbody tr").count()).toBeLessThan(60);
  await page.getByRole("button", { name: "Name", exact: true }).click();
  await until("sorted", async () => (await page.locator("tbody th").first().innerText()) === "/request/0");
  await page.getByRole("button", { name: "Name", exact: true }).click();
  await until("the other way", async () => (await page.locator("tbody th").first().innerText()) === "/request/999");
  await page.locator(".grid").evaluate((grid) => (grid.scrollTop = grid.scrollHeight));
  await until("the last", async () => (await page.locator("tbody th").last().innerText()) === "/request/0");
  await tab(page, "Charts").click();
  await page.getByLabel("Search requests").fill("/request/77");
  await page.getByText("11 of 1,000 requests").waitFor();
  await until("charts in sight", async () => (await page.locator(".plot canvas").count()) >= 5);
  expect(await page.locator(".plot canvas").count()).toBeLessThan(27);
  await close();
});

test("axe finds nothing on any tab, in both themes, wide and narrow; and nothing is wider than the page", async () => {
  const ready = await load(SCENARIO);
  const { url } = await load(SCENARIO, "--users", "4", "--spawn-rate", "20", "--autostart");
  const tabs = ["statistics", "charts", "failures", "exceptions", "ratio", "stages", "downloads", "logs"];
  for (const [colorScheme, width] of [["light", 360], ["dark", 1280]] as const) {
    for (const [at, hashes] of [[ready.url, [""]], [url, tabs]] as const) {
      const { page, close } = await open(browser, at, { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
      for (const hash of hashes) {
        await page.goto(`${at}/#${hash}`);
        await page.locator("h1").first().waitFor();
        if (hash !== "") await until("measured", async () => (await figure(page, "RPS")) !== "0");
        if (hash === "charts") await until("drawn", async () => (await page.locator(".plot canvas").count()) >= 3);
        expect(await axe(page), `${hash} ${colorScheme} ${width}`).toEqual([]);
        expect(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), `${hash} at ${width}`).toBeLessThanOrEqual(0);
      }
      if (hashes.length > 1) {
        await page.getByRole("button", { name: "New run" }).click();
        await page.getByRole("button", { name: "Stop it" }).waitFor();
        expect(await axe(page), `asked ${colorScheme} ${width}`).toEqual([]);
        await page.getByRole("button", { name: "Keep it as it is" }).click();
        await page.getByRole("button", { name: "Edit" }).click();
        await page.getByRole("dialog").waitFor();
        expect(await axe(page), `edit ${colorScheme} ${width}`).toEqual([]);
      }
      await close();
    }
  }
});
