import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Leaves each file in brotli and gzip too, so that the server never compresses what does not change. */
function packed(): Plugin {
  return {
    name: "packed",
    apply: "build",
    closeBundle() {
      const entries = readdirSync("dist", { recursive: true, withFileTypes: true });
      for (const entry of entries) {
        if (!entry.isFile() || !/\.(js|css|svg|html|json)$/.test(entry.name)) continue;
        const path = join(entry.parentPath, entry.name);
        const data = readFileSync(path);
        if (data.length < 600) continue;
        const quality = { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY };
        writeFileSync(`${path}.br`, brotliCompressSync(data, { params: quality }));
        writeFileSync(`${path}.gz`, gzipSync(data, { level: 9 }));
      }
    },
  };
}

const server = process.env.REGATTA_SERVER ?? "http://localhost:8000";

export default defineConfig({
  logLevel: process.env.REGATTA_QUIET ? "warn" : "info",
  plugins: [svelte(), packed()],
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    // The server's policy allows nothing inline but images.
    assetsInlineLimit: 0,
    // The console's page, and that of `regatta load`.
    rolldownOptions: { input: ["index.html", "load.html"], checks: { pluginTimings: false } },
  },
  // `npm run dev`: the page from here, the API from a server that runs.
  server: { proxy: { "/api": { target: server, ws: true, changeOrigin: true, rewriteWsOrigin: true } } },
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["src/**/*.test.ts"], environment: "node" } },
      // Not tests: pictures to look at, and what the bench reports.
      { test: { name: "shots", include: ["e2e/**/*.shots.ts"], environment: "node", fileParallelism: false, testTimeout: 900_000, hookTimeout: 180_000 } },
      { test: { name: "bench", include: ["e2e/**/*.bench.ts"], environment: "node", fileParallelism: false, testTimeout: 300_000, hookTimeout: 180_000 } },
      {
        test: {
          name: "e2e",
          include: ["e2e/**/*.test.ts"],
          environment: "node",
          fileParallelism: false,
          // Only what hangs is cut off.
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
    ],
  },
});
