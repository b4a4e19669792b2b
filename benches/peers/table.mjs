// Prints what was measured; ratios are to the first row, above 1 where the other one is faster.
import { readFileSync } from "node:fs";

const rows = readFileSync(process.argv[2], "utf8").trim().split("\n").map((line) => JSON.parse(line));
const ours = rows[0];
const rate = (value) => Math.round(value).toLocaleString("en-US");
const cells = rows.map((row) => [
	row.name,
	rate(row.submitted),
	(row.submitted / ours.submitted).toFixed(2),
	rate(row.through),
	(row.through / ours.through).toFixed(2),
	row.p50.toFixed(2),
	row.p99.toFixed(2),
	(ours.p50 / row.p50).toFixed(2),
]);
cells.unshift(["", "submitted/s", "ratio", "through/s", "ratio", "start p50 ms", "p99 ms", "ratio of p50"]);
const widths = cells[0].map((_, column) => Math.max(...cells.map((row) => row[column].length)));
for (const row of cells) {
	console.log(row.map((cell, column) => (column ? cell.padStart(widths[column]) : cell.padEnd(widths[0]))).join("  "));
}
