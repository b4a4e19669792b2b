/** Figures and times as people read them. */

/** A duration in milliseconds: `12 ms`, `3.4 s`, `2 min 05 s`, `3 h 20 min`, `2 d 4 h`. */
export function duration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return "0 ms";
  if (ms < 1) return `${ms.toFixed(ms === 0 ? 0 : 2)} ms`;
  if (ms < 999.5) return `${ms < 10 ? ms.toFixed(1).replace(/\.0$/, "") : Math.round(ms)} ms`;
  const s = ms / 1_000;
  if (s < 59.95) return `${s.toFixed(1)} s`;
  const whole = Math.round(s);
  const pad = (n: number) => String(n).padStart(2, "0");
  if (whole < 3_600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3_600)} h ${pad(Math.floor((whole % 3_600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3_600)} h`;
}

/** A duration for the marks of an axis: one number, one unit. */
export function short(ms: number): string {
  const [size, unit] = ms < 1_000 ? [1, "ms"] : ms < 60_000 ? [1_000, "s"] : ms < 3_600_000 ? [60_000, "min"] : [3_600_000, "h"];
  const value = ms / Number(size);
  return `${value < 10 ? Number(value.toFixed(1)) : Math.round(value)} ${unit}`;
}

/** How long ago, coarse: `just now`, `40 s ago`, `5 min ago`, `3 h ago`, `2 d ago`. */
export function ago(then: string | number, now: number): string {
  const s = Math.max(0, (now - (typeof then === "string" ? Date.parse(then) : then)) / 1_000);
  if (s < 5) return "just now";
  if (s < 60) return `${Math.floor(s)} s ago`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}

// The first of them takes a slow machine a tenth of a second: made when it is needed.
let moment: Intl.DateTimeFormat | undefined;
let clockTime: Intl.DateTimeFormat | undefined;

/** Date and time in the viewer's zone. */
export function when(time: string | number | Date): string {
  moment ??= new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
  return moment.format(new Date(time));
}

/** The time of day in the viewer's zone. */
export function timeOfDay(time: string | number | Date): string {
  clockTime ??= new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
  return clockTime.format(new Date(time));
}

/** A whole number: `1,234,567`. */
export function count(n: number): string {
  return String(n).replace(/\B(?=(\d{3})+$)/g, ",");
}

export function percent(n: number | null | undefined): string {
  return n == null ? "–" : `${Math.round(n)} %`;
}

export function bytes(n: number): string {
  if (n < 1_000) return `${n} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = n;
  let unit = "B";
  for (const next of units) {
    if (value < 999.5) break;
    value /= 1_000;
    unit = next;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** `in_progress` as `in progress`. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** `1 task`, `2 tasks`. */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

export function shortId(id: string): string {
  return id.length > 13 ? `${id.slice(0, 8)}…${id.slice(-4)}` : id;
}
