const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

/** A number with as many digits as say something. */
export const short = (value: number): string => Math.abs(value) >= 100 ? whole.format(value) : tenths.format(value);

export const plural = (value: number, one: string, many = `${one}s`): string => `${count(value)} ${value === 1 ? one : many}`;

export function duration(ms: number): string {
  if (ms < 1000)
    return `${whole.format(ms)} ms`;
  if (ms < 60_000)
    return `${tenths.format(ms / 1000)} s`;
  return `${Math.floor(ms / 60_000)} min ${Math.round(ms / 1000) % 60} s`;
}

export function bytes(value: number): string {
  for (const [unit, size] of [["GB", 1 << 30], ["MB", 1 << 20], ["KB", 1 << 10]] as const) {
    if (value >= size)
      return `${tenths.format(value / size)} ${unit}`;
  }
  return `${whole.format(value)} bytes`;
}

export const percent = (share: number): string => `${whole.format(100 * share)}%`;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Of a Unix time in seconds. */
export const timeOfDay = (seconds: number): string => clock.format(seconds * 1000);
export const dateAndTime = (seconds: number): string => day.format(seconds * 1000);

/** The heading of a list by age: "Today", "Yesterday", "Last 7 days", "Last 30 days", or the month. */
export function ageGroup(seconds: number, now: Date): string {
  const midnight = new Date(now.getFullYear(), now.getMonth(), now.getDate()).getTime();
  const days = Math.ceil((midnight - seconds * 1000) / 86_400_000);
  if (days <= 0)
    return "Today";
  if (days === 1)
    return "Yesterday";
  if (days <= 7)
    return "Last 7 days";
  if (days <= 30)
    return "Last 30 days";
  return new Intl.DateTimeFormat("en", { month: "long", year: "numeric" }).format(seconds * 1000);
}
