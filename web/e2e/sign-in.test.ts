/** A server that other machines reach asks for a token, and the page keeps it to itself. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { axe, Farm, launch, open, until } from "./rig";

let browser: Browser;
let farm: Farm;

beforeAll(async () => {
  [browser, farm] = await Promise.all([launch(), Farm.start("0.0.0.0:0")]);
});
afterAll(async () => {
  await browser?.close();
  await farm?.stop();
});

test("the page asks for a token, keeps it out of URLs and local storage, and is live with it", async () => {
  const token = await farm.token();
  const { page, close } = await open(browser, `${farm.url}/tasks`);
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  page.on("websocket", (socket) => urls.push(socket.url()));
  const field = page.getByLabel("Token");
  await field.waitFor();
  expect(await axe(page)).toEqual([]);
  await field.fill("not a token");
  expect(await page.getByRole("button", { name: "Sign in" }).isDisabled()).toBe(true);
  await field.fill(`rgu_${"0".repeat(64)}`);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("That token does not count here").waitFor();
  await field.fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("There are no tasks yet").waitFor();
  await until("live", async () => (await page.locator(".fresh").innerText()) === "live");
  expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain("rgu_");
  expect(urls.some((url) => url.includes("/api/v1/ws"))).toBe(true);
  expect(urls.filter((url) => url.includes("rgu_"))).toEqual([]);
  // The tab keeps it, a new window does not have it.
  await page.reload();
  await page.getByText("There are no tasks yet").waitFor();
  const other = await open(browser, farm.url);
  await other.page.getByLabel("Token").waitFor();
  await other.close();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByLabel("Token").waitFor();
  expect(await page.evaluate(() => JSON.stringify(sessionStorage))).not.toContain("rgu_");
  await close();
});
