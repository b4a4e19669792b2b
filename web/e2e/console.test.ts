/** The console against the real server with real workers, in a real browser. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { axe, Farm, HANG, launch, open, until } from "./rig";

let browser: Browser;
let farm: Farm;

beforeAll(async () => {
  [browser, farm] = await Promise.all([launch(), Farm.start()]);
});
afterAll(async () => {
  await browser?.close();
  await farm?.stop();
});

const statusOf = (page: Page) => page.getByTestId("task-status").innerText();
const sees = (page: Page, text: string | RegExp) => page.getByText(text).first().waitFor();
const fresh = (page: Page) => page.locator(".fresh").innerText();

test("an empty server teaches the next step", async () => {
  const { page, close } = await open(browser, farm.url);
  await sees(page, "No worker is online");
  await sees(page, "regatta worker --tools command");
  await page.getByRole("link", { name: "Tasks", exact: true }).click();
  await sees(page, "There are no tasks yet");
  await page.getByRole("link", { name: "Workers", exact: true }).click();
  await sees(page, "There are no workers yet");
  await sees(page, `regatta worker --server ${farm.url} --tools command`);
  // Whoever watches sees a worker come.
  await farm.worker("loud <img src=x onerror=hacked=1>", "command");
  await page.getByRole("link", { name: "loud <img src=x onerror=hacked=1>" }).waitFor();
  await page.goto(`${farm.url}/tasks/no-such-task`);
  await sees(page, "There is no such task");
  await close();
});

test("the keyboard is enough: a task submitted in words, seen running and completed, and said to be simulated", async () => {
  await farm.worker("agents", "simulate:claude_code", 4);
  // Killed now, so that the last test does not wait long until it is taken for gone.
  await (await farm.worker("doomed", "simulate", 1)).end("SIGKILL");
  const { page, close } = await open(browser, farm.url);
  await until("live", async () => (await fresh(page)) === "live");
  await page.keyboard.press("n");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.keyboard.press("n");
  const text = page.getByLabel("What is to be done");
  await text.fill("Short");
  expect(await page.getByRole("button", { name: "Submit" }).isDisabled()).toBe(true);
  await text.fill("# Add a **login** page\n\n<b>not bold</b>");
  await page.getByRole("button", { name: "Preview" }).click();
  expect(await page.locator(".preview strong").innerText()).toBe("login");
  expect(await page.locator(".preview b").count()).toBe(0);
  await page.getByRole("button", { name: "Submit" }).press("Enter");
  await page.waitForURL(/\/tasks\/[0-9a-f-]{36}$/);
  await until("completed", async () => (await statusOf(page)).includes("completed"));
  await sees(page, "made up by simulated agents");
  // Four steps, and who ran them when.
  for (const part of [".dag .node.completed", ".gantt .bar.completed"]) {
    await until(`four of ${part}`, async () => (await page.locator(part).count()) === 4);
  }
  await page.locator(".dag .node").first().press("Enter");
  await sees(page, "simulated: made up, no AI ran");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.getByRole("link", { name: /Add a \*\*login\*\* page/ }).waitFor();
  await close();
});

test("a task is seen running, its log is followed, searched and filtered, and it is cancelled and retried", async () => {
  const gate = join(farm.data, "gate");
  const task = await farm.program(
    "Print until a file is there",
    `i=0; while [ ! -e ${gate} ]; do i=$((i+1)); printf '\\033[32mgreen\\033[0m %d\\n' $i; echo "careful $i" >&2; sleep 0.1; done; echo the end`,
  );
  const { page, close } = await open(browser, `${farm.url}/tasks/${task}`);
  await until("running", async () => (await statusOf(page)).includes("in progress"));
  await page.locator(".dag .node.in_progress").waitFor();
  const lines = page.locator(".log .line");
  await until("fifty lines", async () => (await page.locator(".tools").innerText()).match(/[5-9]\d lines|\d{3} lines/));
  // It follows: the newest line is in sight. Only what is in sight is there.
  await until("the end in sight", () => page.locator(".log").evaluate((log) => log.scrollHeight - log.scrollTop - log.clientHeight < 40));
  expect(await lines.count()).toBeLessThan(60);
  expect(await page.locator(".log .fg2").first().innerText()).toBe("green");
  // Scrolling up stops following.
  await page.locator(".log").evaluate((log) => (log.scrollTop = 0));
  await sees(page, "green 1");
  await until("it follows no more", async () => !(await page.getByLabel("Follow").isChecked()));
  await page.getByLabel("Least level").selectOption("warning");
  await until("only warnings", async () => (await lines.count()) > 0 && (await lines.allInnerTexts()).every((line) => line.includes("careful")));
  await page.getByLabel("Search the log").fill("CAREFUL 12");
  await until("what is searched", async () => (await page.locator(".log mark").first().innerText()) === "careful 12");

  // What cannot be taken back asks first.
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Keep it as it is" }).click();
  expect(await statusOf(page)).toContain("in progress");
  await page.getByRole("button", { name: "Cancel", exact: true }).click();
  await page.getByRole("button", { name: "Cancel the task" }).click();
  await until("cancelled", async () => (await statusOf(page)).includes("cancelled"));
  writeFileSync(gate, "");
  await page.getByRole("button", { name: "Retry" }).click();
  await until("completed", async () => (await statusOf(page)).includes("completed"));
  // Two attempts, side by side in the timeline.
  await until("two bars", async () => (await page.locator(".gantt .bar").count()) === 2);
  await close();
});

test("a million lines of log: followed, filtered, searched and walked through, and only what is in sight is there", async () => {
  const task = await farm.program("Hold the log of a million lines", "echo the first line");
  const { subtasks } = (await farm.call("GET", `/tasks/${task}?wait_seconds=30`)) as { subtasks: { subtask_id: string }[] };
  const say = (level: string, message: string) => farm.call("POST", `/subtasks/${subtasks[0]?.subtask_id}/log`, { level, message });
  // A message of many lines is as many rows.
  const LINES = 2_500;
  const block = (from: number) => Array.from({ length: LINES }, (_, i) => `row ${from + i} of them`).join("\n");
  const { page, close } = await open(browser, `${farm.url}/tasks/${task}`);
  await sees(page, /^the first line$/);
  for (let from = 0; from < 999_998; from += LINES) {
    await say(from === 500_000 ? "error" : "info", block(from));
  }
  const log = page.locator(".log");
  const lines = log.locator(".line");
  const tools = page.locator(".tools");
  // Lines of another kind have no number.
  const inSight = async () =>
    (await lines.allInnerTexts()).map((line) => Number(/row (\d+)/.exec(line)?.[1])).filter((row) => !Number.isNaN(row));
  await until("a million", async () => (await tools.innerText()).includes("1,000,001 lines"));
  await until("it follows", async () => (await lines.last().innerText()).includes("row 999999 of them"));
  await say("info", "one more");
  await until("it goes on to follow", async () => (await lines.last().innerText()).includes("one more"));
  expect(await lines.count()).toBeLessThan(60);

  // By pages from the first line on: none is left out.
  await log.press("Home");
  await sees(page, /^the first line$/);
  let last = Math.max(...(await inSight()));
  for (let i = 0; i < 3; i += 1) {
    let pressed = 0;
    await until("further", async () => {
      // A browser that still scrolls to the beginning does not hear the key.
      if (Date.now() - pressed > 3_000) {
        pressed = Date.now();
        await log.press("PageDown");
      }
      return Math.max(...(await inSight())) > last;
    });
    expect(Math.min(...(await inSight()))).toBeLessThanOrEqual(last + 1);
    last = Math.max(...(await inSight()));
  }
  // By the bar into the middle.
  await log.evaluate((box) => (box.scrollTop = box.scrollHeight / 2));
  await until("the middle", async () => Math.abs((await inSight())[0]! - 500_000) < 5_000);
  expect(await page.getByLabel("Follow").isChecked()).toBe(false);

  await page.getByLabel("Search the log").fill("ROW 7654 OF");
  await until("found", async () => (await tools.innerText()).includes("1 of 1,000,002 lines"));
  expect(await lines.allInnerTexts()).toEqual([expect.stringContaining("row 7654 of them")]);
  await page.getByLabel("Search the log").fill("");
  await page.getByLabel("Least level").selectOption("error");
  await until("filtered", async () => (await tools.innerText()).includes("2,500 of 1,000,002 lines"));
  await log.press("End");
  await until("its end", async () => (await lines.last().innerText()).includes("row 502499 of them"));
  expect(await lines.count()).toBeLessThan(60);
  await close();
});

test("workers are shown in groups by a label of theirs", async () => {
  await Promise.all([farm.worker("north-1", "command", 1, "site=north"), farm.worker("south-1", "command", 1, "site=south")]);
  const { page, close } = await open(browser, `${farm.url}/workers`);
  await page.getByLabel("Groups").selectOption("site");
  await until("three groups", async () => (await page.locator("tr.group th").allInnerTexts()).map((text) => text.replace(/\s+/g, " ")).join().startsWith("site=north 1,site=south 1,without site "));
  expect(await page.locator("tbody", { hasText: "site=north" }).getByRole("link").allInnerTexts()).toEqual(["north-1"]);
  expect(new URL(page.url()).searchParams.get("group")).toBe("site");
  await close();
});

test("a plan's mistakes are marked before it is sent, and a mended plan runs", async () => {
  const { page, close } = await open(browser, `${farm.url}/tasks`);
  await page.getByRole("button", { name: "New task" }).first().click();
  await page.getByRole("button", { name: "Plan file" }).click();
  const step = (name: string, more: string) => `\n[[subtasks]]\nname = "${name}"\ntool = "command"\ninput = { argv = ["echo", "\${word}"] }\n${more}\n`;
  const plan = (second: string) => `description = "Two steps, one after the other"\n[vars]\nword = "hello"\n${step("First", "")}${step("Second", second)}`;
  const file = (text: string) => ({ name: "plan.toml", mimeType: "text/plain", buffer: Buffer.from(text) });
  await page.locator("input[type=file]").setInputFiles(file(plan('depends_on = ["Frist"]')));
  const mistakes = page.getByTestId("mistakes");
  await mistakes.waitFor();
  expect(await mistakes.innerText()).toMatch(/line 11: step "Second" depends on "Frist".*did you mean "First"/);
  expect(await page.locator("dialog .node.mistake").innerText()).toContain("Second");
  expect(await page.getByRole("button", { name: "Submit" }).isDisabled()).toBe(true);
  // Dropped on the dialog, as a person would.
  const dropped = await page.evaluateHandle((text) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], "mended.toml"));
    return transfer;
  }, plan('depends_on = ["First"]'));
  await page.locator("dialog .form").dispatchEvent("drop", { dataTransfer: dropped });
  await sees(page, "2 steps, no mistakes found");
  expect(await page.locator("dialog .node").count()).toBe(2);
  await page.getByLabel("word").fill("<u>good day</u>");
  await page.getByRole("button", { name: "Submit" }).click();
  await page.waitForURL(/\/tasks\/[0-9a-f-]{36}$/);
  await until("completed", async () => (await statusOf(page)).includes("completed"));
  await sees(page, "<u>good day</u>");
  await close();
});

test("what is hostile in names, descriptions, logs and results stays text", async () => {
  const evil = `<img src=x onerror="globalThis.hacked=1"><script>globalThis.hacked=1</script>`;
  const task = await farm.submit({
    description: `${evil} [link](javascript:globalThis.hacked=1) {@html x}`, task_type: "custom",
    subtasks: [{ name: evil, tool: "command", description: evil, input: { argv: ["sh", "-c", `printf '%s\\n' "$1" '\\033]0;t\\007'; printf '{"html": "%s"}' '<i>' >"$REGATTA_OUTPUT"`, "x", evil] } }],
  });
  await farm.program(`Fail ${evil}`, "exit 1", evil);
  const { page, close } = await open(browser, `${farm.url}/tasks/${task}`);
  await until("completed", async () => (await statusOf(page)).includes("completed"));
  await page.locator(".dag .node").click();
  await sees(page, '"html": "<i>"');
  await until("the log line", async () => (await page.locator(".log .line").first().innerText()).includes("<script>"));
  await page.getByText("Description").first().click();
  for (const path of ["/", "/tasks", `/tasks/${task}`, "/workers"]) {
    await page.goto(farm.url + path);
    await sees(page, /<img src=x/);
    expect(await page.locator("img, main script, main i:not([class]):not(.fresh i), a[href^=javascript]").count(), path).toBe(0);
    expect(await page.evaluate(() => "hacked" in globalThis), path).toBe(false);
  }
  await close();
});

test("lists are filtered, searched, paged, and acted on together", async () => {
  const later = "2999-01-01T00:00:00Z";
  const tasks = Array.from({ length: 120 }, (_, i) => ({ description: `Bulk task number ${i}`, task_type: "testing", start_at: later }));
  await farm.call("POST", "/tasks/batch", { tasks });
  const { page, close } = await open(browser, `${farm.url}/tasks?type=testing`);
  await sees(page, "page 1 of 3");
  await page.getByRole("button", { name: "Older" }).click();
  await sees(page, "page 2 of 3");
  await page.getByRole("link", { name: "Bulk task number 69" }).waitFor();
  await page.getByRole("button", { name: "Newest" }).click();
  await page.getByLabel("Search descriptions").fill("number 11");
  await until("found", async () => (await page.locator("tbody tr").count()) === 11);
  expect(new URL(page.url()).searchParams.get("q")).toBe("number 11");
  await page.getByLabel("Choose all on this page").check();
  await page.getByRole("button", { name: "Cancel 11" }).click();
  await page.getByRole("button", { name: "Cancel 11 tasks" }).click();
  await until("cancelled", async () => (await page.locator("tbody .status", { hasText: "cancelled" }).count()) >= 11);
  await page.getByLabel("Status").selectOption("completed");
  await sees(page, "No task fits this filter");
  await close();
});

test("a server that is killed and started again: the page says so, recovers by itself, and loses nothing", async () => {
  const gate = join(farm.data, "second-gate");
  const task = await farm.program("Wait for the second gate", `echo before; while [ ! -e ${gate} ]; do sleep 0.1; done; echo after`);
  const { page, close } = await open(browser, `${farm.url}/tasks/${task}`);
  const list = await open(browser, `${farm.url}/tasks`);
  await sees(page, /^before$/);
  await farm.killServer();
  await until("reconnecting", async () => /reconnecting|stale since/.test(await fresh(page)));
  // What was known stays in sight, and is said to be old.
  await until("stale", async () => /stale since \d\d:\d\d:\d\d/.test(await fresh(page)));
  expect(await statusOf(page)).toContain("in progress");
  writeFileSync(gate, "");
  await farm.serve();
  for (const one of [page, list.page]) await until("live", async () => (await fresh(one)) === "live");
  await until("completed", async () => (await statusOf(page)).includes("completed"));
  await sees(page, /^after$/);
  expect((await page.locator(".log .line .text").allInnerTexts()).filter((line) => line === "before")).toHaveLength(1);
  await until("the list too", async () => /completed/.test(await list.page.locator("tr", { hasText: "second gate" }).innerText()));
  await list.close();
  await close();
});

test("what only a person can end is said on the overview, with the command that ends it", async () => {
  const held = await farm.submit({ description: "Held back until someone starts it", task_type: "bug_fix", start: false });
  const step = (name: string) => ({ description: `${name} with a tool that nobody has`, task_type: "custom", subtasks: [{ name, tool: "rare_tool", description: name }] });
  await Promise.all([farm.submit(step("Ask")), farm.submit(step("Ask again"))]);
  const { page, close } = await open(browser, farm.url);
  const person = page.getByRole("region", { name: "What waits for a person" });
  const row = person.locator("li", { hasText: "no online worker offers rare_tool" });
  await row.getByText("2 steps").waitFor();
  await row.getByText("regatta worker --tools rare_tool", { exact: true }).waitFor();
  await person.getByRole("link", { name: "Held back until someone starts it" }).click();
  await page.waitForURL(`${farm.url}/tasks/${held}`);
  await close();
});

test("axe finds nothing on any page, in both themes, wide and narrow; and nothing is wider than the page", async () => {
  const task = await farm.submit({ description: "Look at this **task**\n\nwith care", task_type: "develop_feature" });
  const waits = await farm.submit({
    description: "Wait for a machine that is not there", task_type: "custom",
    subtasks: [{ name: "Train", tool: "command", input: { argv: ["true"] }, requires: { gpu: "a100" } }],
  });
  const failed = await farm.program("Fail for a reason", "echo 'no such thing' >&2; exit 3");
  const { workers } = (await farm.call("GET", "/workers")) as { workers: { worker_id: string }[] };
  const steps = (await farm.call("GET", `/tasks/${failed}?wait_seconds=30`)) as { subtasks: { subtask_id: string }[] };
  const paths = [
    "/", "/tasks", "/tasks?status=checkpoint", `/tasks/${task}`, `/tasks/${waits}`, `/tasks/${failed}?step=${steps.subtasks[0]?.subtask_id}`,
    "/workers", "/workers?group=site", `/workers/${workers[0]?.worker_id}`, "/tasks/none", "new",
  ];
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of colorScheme === "light" ? [360, 1280] : [768]) {
      const { page, close } = await open(browser, farm.url, { colorScheme, viewport: { width, height: 800 }, reducedMotion: "reduce" });
      for (const path of paths) {
        if (path === "new") {
          await page.goto(`${farm.url}/tasks`);
          await page.getByRole("button", { name: "New task" }).first().click();
          await page.getByRole("button", { name: "Plan file" }).click();
          await page.getByLabel("Plan", { exact: true }).fill('description = "Do some thing"\n[[subtasks]]\nname = "A"\ndepends_on = ["B"]');
          await page.getByTestId("mistakes").waitFor();
        } else {
          await page.goto(farm.url + path);
          await page.locator("h1").first().waitFor();
          await page.waitForLoadState("networkidle").catch(() => undefined);
        }
        expect(await axe(page), `${path} ${colorScheme} ${width}`).toEqual([]);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        expect(over, `${path} at ${width}`).toBeLessThanOrEqual(0);
      }
      await close();
    }
  }
});

test("a worker is drained and undrained, a killed one is seen going offline", async () => {
  const { page, close } = await open(browser, `${farm.url}/workers`);
  await page.getByRole("link", { name: "agents" }).click();
  await page.getByRole("button", { name: "Drain" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Drain" }).click();
  await page.getByRole("button", { name: "Undrain" }).click();
  await page.getByRole("button", { name: "Drain" }).waitFor();
  await page.getByRole("link", { name: "Workers", exact: true }).first().click();
  const row = page.locator("tr", { hasText: "doomed" });
  // Without a heartbeat for 90 s a worker is offline; the tests before took a part of them.
  await until("offline", async () => /offline/.test(await row.innerText()));
  await page.getByRole("link", { name: "doomed" }).click();
  await page.getByRole("button", { name: "Remove" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
  await page.waitForURL(`${farm.url}/workers`);
  await row.waitFor({ state: "detached" });
  await close();
}, HANG + 60_000);
