/** Pictures of every page of the console in both themes at three widths, to be looked at by people: `npm run shots`. */
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, test } from "vitest";
import { Farm, launch, shots, until } from "./rig";

let browser: Browser;
let farm: Farm;

beforeAll(async () => {
  [browser, farm] = await Promise.all([launch(), Farm.start()]);
});
afterAll(async () => {
  await browser?.close();
  await farm?.stop();
});

test("pages", async () => {
  await shots(browser, "console-empty", farm.url, ["/", "/tasks", "/workers"]);
  await farm.worker("build-machine-1", "command,simulate:claude_code", 4, "site=north,disk=ssd");
  await farm.worker("a-worker-with-a-rather-long-name.internal.example.com", "simulate:gemini_cli,simulate:codex", 2, "site=south");
  const gate = join(farm.data, "never");
  const done = await farm.submit({ description: "# Add a login page to the shop\n\nWith **OAuth** and a `remember me` box.", task_type: "develop_feature", tool_preferences: ["claude_code"] });
  const log = "for i in $(seq 200); do printf '\\033[32mok\\033[0m %d a line of some length that says what happens\\n' $i; done; echo careful >&2";
  const runs = await farm.submit({
    description: "Build and test everything", task_type: "custom",
    subtasks: [
      { name: "Fetch", tool: "command", input: { argv: ["sh", "-c", log] } },
      { name: "Build the back end", depends_on: ["Fetch"], tool: "command", input: { argv: ["sh", "-c", `while [ ! -e ${gate} ]; do sleep 0.2; done`] } },
      { name: "Build the front end", depends_on: ["Fetch"], tool: "command", input: { argv: ["sh", "-c", "echo built"] } },
      { name: "Test", depends_on: ["Build the back end", "Build the front end"], tool: "command", input: { argv: ["true"] } },
    ],
  });
  const failed = await farm.program("Release version 2 to the test stage", "echo 'no such branch' >&2; exit 3", "Release");
  for (const [name, requires] of [["Train the model", { gpu: "a100" }], ["Train another model", { gpu: "a100" }], ["Sign the package", { hsm: "yes" }]] as const) {
    await farm.submit({ description: `${name} on a machine that is not there`, task_type: "custom", subtasks: [{ name, tool: "command", input: { argv: ["true"] }, requires }] });
  }
  await farm.submit({ description: "Ask an agent that nobody offers", task_type: "custom", subtasks: [{ name: "Ask", tool: "aider", description: "Ask" }] });
  for (let i = 0; i < 30; i += 1) await farm.submit({ description: `Fix the small mistake number ${i} that was reported`, task_type: "bug_fix" });
  await farm.call("GET", `/tasks/${done}?wait_seconds=30`);
  const { subtasks } = (await farm.call("GET", `/tasks/${failed}?wait_seconds=30`)) as { subtasks: { subtask_id: string }[] };
  const { workers } = (await farm.call("GET", "/workers")) as { workers: { worker_id: string }[] };
  await shots(browser, "console", farm.url, [
    "/", "/tasks", `/tasks/${runs}`, `/tasks/${done}`, `/tasks/${failed}?step=${subtasks[0]?.subtask_id}`, "/workers?group=site",
    `/workers/${workers[0]?.worker_id}`, "/tasks/none",
  ]);
  await shots(browser, "console-new", farm.url, ["/tasks"], async (page) => {
    await page.getByRole("button", { name: "New task" }).first().click();
    await page.getByRole("button", { name: "Plan file" }).click();
    await page.getByLabel("Plan", { exact: true }).fill('description = "Do some thing"\n[[subtasks]]\nname = "A"\ntool = "claude_code"\n[[subtasks]]\nname = "B"\ndepends_on = ["A", "C"]');
    await until("its mistakes", () => page.getByTestId("mistakes").count());
  });
});
