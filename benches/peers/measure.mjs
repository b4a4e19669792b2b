// What is measured, the same for each of the queues: calls that submit, jobs through, and how long a job waits for its start.
// The Python twin is in celery_peer.py.
import { spawn } from "node:child_process";
import { appendFileSync, closeSync, openSync, readSync, writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Jobs that are submitted before a worker comes. */
const JOBS = Number(process.env.PEERS_JOBS ?? 10_000);
/** Who submits them at once, each the next when the last was taken. */
export const CALLERS = 16;
/** Jobs that are submitted one by one while a worker waits. */
const ROUNDS = Number(process.env.PEERS_ROUNDS ?? 300);
/** How long the system rests before each of these. */
const REST = 10;
const PATIENCE = 120_000;

/** Milliseconds since 1970, with fractions; all processes of this machine have the same. */
const now = () => performance.timeOrigin + performance.now();

/** A job's work, in the worker's process: it notes when it began. One line, one write, whichever queue it is. */
export function job() {
	const file = openSync(process.env.PEERS_STARTED, "a");
	return (number) => void writeSync(file, `${number} ${now()}\n`);
}

/** What jobs noted, read as it comes. */
class Started {
	#file = openSync(process.env.PEERS_STARTED, "a+");
	#rest = "";
	#place = 0;
	times = new Map();

	read() {
		const buffer = Buffer.alloc(1 << 16);
		let count;
		while ((count = readSync(this.#file, buffer, 0, buffer.length, this.#place)) > 0) {
			this.#place += count;
			const lines = (this.#rest + buffer.toString("latin1", 0, count)).split("\n");
			this.#rest = lines.pop();
			for (const line of lines) {
				const [number, at] = line.split(" ").map(Number);
				// One that is run again was begun when it was begun first.
				if (!this.times.has(number)) this.times.set(number, at);
			}
		}
	}

	async until(what, so) {
		const asked = now();
		for (this.read(); !so(this.times); this.read()) {
			if (now() - asked > PATIENCE) throw new Error(`${what}: only ${this.times.size} jobs were started`);
			await sleep(5);
		}
	}

	close() {
		closeSync(this.#file);
	}
}

/** Measures a queue: `add(number)` submits a job and resolves when it was taken, `worker` is the command of its worker. */
export async function measure({ name, add, worker }) {
	const begin = now();
	const caller = async (first) => {
		for (let number = first; number < JOBS; number += CALLERS) await add(number);
	};
	await Promise.all(Array.from({ length: CALLERS }, (_, first) => caller(first)));
	const submitted = (JOBS / (now() - begin)) * 1000;

	const started = new Started();
	const child = spawn(worker[0], worker.slice(1), { stdio: ["ignore", "inherit", "inherit"] });
	const gone = new Promise((_, reject) => child.once("exit", (code) => reject(new Error(`the worker ended: ${code}`))));
	gone.catch(() => {});
	try {
		await Promise.race([gone, started.until(name, (times) => times.size >= JOBS)]);
		const times = [...started.times.values()].sort((a, b) => a - b);
		const through = ((JOBS - 1) / (times.at(-1) - times[0])) * 1000;
		await sleep(1000);
		const waits = [];
		for (let number = JOBS; number < JOBS + ROUNDS; number += 1) {
			const asked = now();
			await add(number);
			await Promise.race([gone, started.until(name, (times) => times.has(number))]);
			waits.push(started.times.get(number) - asked);
			await sleep(REST);
		}
		waits.sort((a, b) => a - b);
		const quantile = (q) => waits[Math.ceil(q * waits.length) - 1];
		const result = { name, submitted, through, p50: quantile(0.5), p99: quantile(0.99) };
		appendFileSync(process.env.PEERS_RESULTS, `${JSON.stringify(result)}\n`);
	} finally {
		const ended = new Promise((resolve) => child.once("exit", resolve));
		if (child.exitCode === null && child.kill("SIGTERM")) {
			await Promise.race([ended, sleep(5000)]);
			child.kill("SIGKILL");
		}
		started.close();
	}
}
