// Regatta by its public API: `POST /api/v1/tasks`, and a worker's line over a WebSocket (docs at /docs of any server).
import { Agent, request } from "node:http";
import WebSocket from "ws";
import { CALLERS, job, measure } from "./measure.mjs";

const server = process.env.PEERS_REGATTA;
const agent = new Agent({ keepAlive: true, maxSockets: CALLERS });

/** A POST of JSON; what is answered. */
function post(path, body) {
	const text = JSON.stringify(body);
	const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
	return new Promise((resolve, reject) => {
		const call = request(server + path, { method: "POST", agent, headers }, (answer) => {
			const parts = [];
			answer.on("data", (part) => parts.push(part));
			answer.on("error", reject);
			answer.on("end", () => {
				const content = Buffer.concat(parts).toString();
				if (answer.statusCode >= 300) reject(new Error(`${path}: ${answer.statusCode} ${content}`));
				else resolve(JSON.parse(content));
			});
		});
		call.on("error", reject);
		call.end(text);
	});
}

const [role, name] = process.argv.slice(2);
if (role === "worker") {
	const note = job();
	const { worker_id } = await post("/api/v1/workers/register", {
		machine_id: "peers",
		machine_name: "peers",
		system_info: {},
		tools: ["claude_code"],
		slots: 50,
		running: [],
	});
	const line = new WebSocket(`${server.replace("http", "ws")}/api/v1/workers/${worker_id}/ws`, { perMessageDeflate: false });
	const beat = () => line.send('{"type":"heartbeat","data":{"status":"online"}}');
	line.on("open", () => setInterval(beat, 20_000));
	line.on("message", (text) => {
		const { type, data } = JSON.parse(text);
		if (type !== "task_assignment") return;
		note(Number(/the job number (\d+)/.exec(data.description)[1]));
		const { subtask_id, lease } = data;
		line.send(JSON.stringify({ type: "result", data: { subtask_id, lease, status: "completed", result: {}, execution_time: 0 } }));
	});
	line.on("error", (error) => console.error(error));
	line.on("close", () => process.exit(1));
	process.on("SIGTERM", () => process.exit(0));
} else {
	await measure({
		name,
		add: (number) => post("/api/v1/tasks", { description: `the job number ${number}`, task_type: "custom" }),
		worker: [process.execPath, import.meta.filename, "worker"],
	});
	agent.destroy();
}
