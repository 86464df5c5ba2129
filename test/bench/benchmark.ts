// What a benchmark is, and how what it measured is shown. Each has a control that is measured in the same run, interleaved
// with it: only the ratio of the two says something on a machine that others use too.

export const MIB = 1 << 20;
export const GIB = 1 << 30;

export interface BenchOptions {
  /** Bytes of log to move, where the benchmark's own default is not wanted. */
  readonly bytes: number | undefined;
  readonly rounds: number;
  /** Told what is going on, line by line. */
  readonly say: (line: string) => void;
}

/** One line of the result. */
export interface Row {
  readonly what: string;
  readonly unit: string;
  readonly value: number;
  /** The measure beside it; absent where the value speaks for itself. */
  readonly control?: { readonly what: string; readonly value: number };
  /** Value to control, where it is not that of the two medians: the median of the rounds' own ratios. */
  readonly ratio?: number;
  /** What the target is about: the ratio to the control, or the value itself. */
  readonly target?: { readonly atLeast: number } | { readonly atMost: number };
  /** What a reader needs in order to judge the number. */
  readonly note?: string;
}

export interface Benchmark {
  readonly name: string;
  readonly title: string;
  /** @throws where something is broken: data not equal, a process that failed. Being slow is no failure. */
  run(options: BenchOptions): Promise<readonly Row[]>;
}

export function ratioOf({ value, control, ratio }: Row): number | undefined {
  return ratio ?? (control && value / control.value);
}

/** Whether the row meets its target; undefined where it has none. */
export function isMet(row: Row): boolean | undefined {
  if (!row.target) return undefined;
  const measured = ratioOf(row) ?? row.value;
  return "atLeast" in row.target ? measured >= row.target.atLeast : measured <= row.target.atMost;
}

/** The middle one of `values`, the mean of the two middle ones where their number is even. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Three digits that matter. */
export function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const COLUMNS = ["measured", "value", "control", "ratio", "target", "met"] as const;

function cellsOf(row: Row): readonly string[] {
  const { what, unit, value, control, target } = row;
  const ratio = ratioOf(row);
  const met = isMet(row);
  const bound = !target ? "" : "atLeast" in target ? `>= ${target.atLeast}` : `<= ${target.atMost}`;
  return [
    what,
    `${short(value)} ${unit}`,
    control ? `${short(control.value)} ${control.what}` : "",
    ratio === undefined ? "" : ratio.toFixed(2),
    bound,
    met === undefined ? "" : met ? "yes" : "NO",
  ];
}

/** The rows as text in columns, each with its note below. */
export function table(rows: readonly Row[]): string {
  const lines = [COLUMNS as readonly string[], ...rows.map(cellsOf)];
  const widths = COLUMNS.map((_, column) => Math.max(...lines.map((cells) => cells[column]!.length)));
  const texts = lines.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
  return texts.flatMap((text, index) => {
    const note = rows[index - 1]?.note;
    return note === undefined ? [text] : [text, `  (${note})`];
  }).join("\n");
}
