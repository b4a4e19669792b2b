/** Figures of a load run as its tables show them. */

/** Milliseconds: below ten with two places, below a hundred with one. */
export function ms(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en");
}

/** So many a second. */
export function rate(value: number): string {
  if (!Number.isFinite(value)) return "–";
  return value < 100 ? String(Number(value.toFixed(value < 10 ? 2 : 1))) : Math.round(value).toLocaleString("en");
}

/** A share of one, in percent. */
export function share(value: number): string {
  if (!Number.isFinite(value)) return "–";
  const percent = 100 * value;
  return `${percent === 0 || percent >= 10 ? Math.round(percent) : Number(percent.toFixed(percent < 0.1 ? 2 : 1))} %`;
}

/** Seconds as a clock shows them: `0:07`, `12:30`, `8:00:00`. */
export function elapsed(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3_600), Math.floor((whole % 3_600) / 60), whole % 60];
  return h > 0 ? `${h}:${pad(m)}:${pad(s)}` : `${m}:${pad(s)}`;
}
