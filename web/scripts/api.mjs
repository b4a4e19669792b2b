// Writes src/api/schema.d.ts, the types of the API, from the OpenAPI document. The document is the snapshot that the
// server's tests compare with what the server serves, so the console's types cannot drift from the server's.
import { readFileSync, writeFileSync } from "node:fs";
import openapi, { astToString } from "openapi-typescript";

const snapshot = new URL("../../crates/server/tests/it/snapshots/it__openapi__openapi.snap", import.meta.url);
const target = new URL("../src/api/schema.d.ts", import.meta.url);

const text = readFileSync(snapshot, "utf8");
const document = JSON.parse(text.slice(text.indexOf("\n---\n") + 5));
const types = astToString(await openapi(document, { emptyObjectsUnknown: true, defaultNonNullable: false }));
const before = (() => {
  try {
    return readFileSync(target, "utf8");
  } catch {
    return "";
  }
})();
if (types !== before) writeFileSync(target, types);
