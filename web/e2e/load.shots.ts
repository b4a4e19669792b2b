/** Pictures of the page of `regatta load`, each tab, in both themes at three widths: `make shots`. */
import { afterAll, beforeAll, test } from "vitest";
import type { Browser } from "playwright-core";
import { launch, Load, shots, Target } from "./rig";

const task = (path: string, name: string) => `[[users.tasks]]\nget = "${path}"\nname = "${name}"\n`;
const SCENARIO = `
thresholds = ["http_req_duration: p(95)<50", "http_req_failed{name:/fails}: rate<0.01"]
[[users]]
name = "Visitor"
wait = { constant = "50ms" }
${Array.from({ length: 20 }, (_, i) => task("/ok", `/items/{id}/parts/${i}`)).join("")}
[[users]]
name = "Buyer"
wait = { constant = "80ms" }
${task("/fails", "/fails")}
[[users.tasks]]
get = "/broken"
extract = { id = "$.none" }
`;

let browser: Browser;
let target: Target;
beforeAll(async () => {
  [browser, target] = await Promise.all([launch(), Target.start("the oven is cold")]);
});
afterAll(async () => {
  await browser?.close();
  await target?.stop();
});

test("before a run, each tab of one, and one that is invalid", async () => {
  const start = (...args: string[]) => Load.start(SCENARIO, ["--host", target.url, ...args]);
  const loads = await Promise.all([start(), start("--users", "20", "--spawn-rate", "10", "--autostart"), start("--arrival-rate", "3000", "--users", "1", "--autostart")]);
  const [ready, runs, invalid] = loads.map(({ url }) => url);
  const soon = (page: { waitForTimeout: (ms: number) => Promise<void> }) => page.waitForTimeout(2_500);
  await shots(browser, "load-ready", ready ?? "", ["/"]);
  await shots(browser, "load", runs ?? "", ["statistics", "charts", "failures", "exceptions", "ratio", "stages", "downloads", "logs"].map((tab) => `/#${tab}`), soon);
  await shots(browser, "load-invalid", invalid ?? "", ["/"], soon);
  await Promise.all(loads.map((load) => load.stop()));
});
