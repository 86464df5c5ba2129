// Numbers, sizes and times as people read them.

const COUNT = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

/** 63,568 */
export function formatCount(count: number): string {
  return COUNT.format(count);
}

/** "1 entry", "2 entries". */
export function formatEntries(count: number): string {
  return count === 1 ? "1 entry" : `${formatCount(count)} entries`;
}

/** 412 B, 12.4 KiB */
export function formatBytes(byteLength: number): string {
  let amount = byteLength;
  let unit = 0;
  while (amount >= 1024 && unit < UNITS.length - 1) {
    amount /= 1024;
    unit++;
  }
  const digits = unit === 0 || amount >= 100 ? 0 : 1;
  return `${amount.toFixed(digits)} ${UNITS[unit]}`;
}

/** 4 ms, 1.2 s, 3 min */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  return `${formatCount(ms / 60_000)} min`;
}

/** 14:03:07.042, in the time zone of the reader. */
export function formatTime(timestamp: number): string {
  const at = new Date(timestamp);
  const two = (number: number) => String(number).padStart(2, "0");
  const ms = String(at.getMilliseconds()).padStart(3, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${ms}`;
}

/** 2026-11-21 14:03:07.042 */
export function formatDateTime(timestamp: number): string {
  const at = new Date(timestamp);
  const two = (number: number) => String(number).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${formatTime(timestamp)}`;
}
