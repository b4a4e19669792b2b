// BullMQ, as https://docs.bullmq.io/guide/going-to-production has it (the Redis settings are in run.sh), with 50 jobs at once as in
// https://docs.bullmq.io/guide/workers/concurrency.
import { Queue, Worker } from "bullmq";
import { job, measure } from "./measure.mjs";

const url = new URL(process.env.PEERS_REDIS);
const connection = { host: url.hostname, port: Number(url.port) };

if (process.argv[2] === "worker") {
	const note = job();
	const work = async ({ data }) => note(data.number);
	const worker = new Worker("peers", work, { connection: { ...connection, maxRetriesPerRequest: null }, concurrency: 50 });
	worker.on("error", (error) => console.error(error));
} else {
	const queue = new Queue("peers", { connection, defaultJobOptions: { removeOnComplete: 1000, removeOnFail: 5000 } });
	await queue.waitUntilReady();
	await measure({
		name: "BullMQ",
		add: (number) => queue.add("noop", { number }),
		worker: [process.execPath, import.meta.filename, "worker"],
	});
	await queue.close();
}
