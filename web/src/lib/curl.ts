/** Calls of the API as commands for a shell. A token is never written out: it is taken from the environment. */
export function curl(method: string, path: string, options: { body?: unknown; token?: boolean; origin: string }): string {
  const parts = ["curl"];
  if (method !== "GET") parts.push("-X", method);
  parts.push(quote(options.origin + path));
  if (options.token) parts.push("-H", '"Authorization: Bearer $REGATTA_TOKEN"');
  if (options.body !== undefined) parts.push("-H", quote("Content-Type: application/json"), "-d", quote(JSON.stringify(options.body)));
  return parts.join(" ");
}

/** One word of a POSIX shell, whatever is in it. */
export function quote(text: string): string {
  return /^[\w./:=@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
