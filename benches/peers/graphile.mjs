// graphile-worker, as https://worker.graphile.org/docs/performance has it: 24 jobs at once, a pool of 25, and with `batching` also
// a local queue and completions in batches, which that page measures with.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { CALLERS, job, measure } from "./measure.mjs";

const connectionString = process.env.PEERS_POSTGRES;
const [role, way] = process.argv.slice(2);
const batching = way === "batching" ? { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } : {};

if (role === "worker") {
	const note = job();
	const preset = { worker: { connectionString, concurrentJobs: 24, maxPoolSize: 25, ...batching } };
	// Its log has a line for each job.
	const quiet = new Logger(() => () => {});
	const runner = await run({ preset, logger: quiet, taskList: { noop: async ({ number }) => note(number) } });
	await runner.promise;
} else {
	const utils = await makeWorkerUtils({ connectionString, maxPoolSize: CALLERS });
	await utils.migrate();
	await measure({
		name: `graphile-worker, ${way}`,
		add: (number) => utils.addJob("noop", { number }),
		worker: [process.execPath, import.meta.filename, "worker", way],
	});
	await utils.release();
}
