// Entries per second of the last minute as a line. Drawn when a second is complete, not with every entry.

import uPlot from "uplot";
import { byId, setText } from "./element.ts";
import { formatCount } from "./format.ts";
import { RATE_SECONDS } from "./rate.ts";

const HEIGHT_PX = 120;
/** The axis never ends below this, so that a single entry does not look like a flood. */
const TOP_MIN = 10;

export class RateChart {
  readonly #root = byId("rate-chart");
  readonly #caption = byId("rate-caption");
  readonly #times = Array.from({ length: RATE_SECONDS }, (_, index) => index - RATE_SECONDS);
  #plot: uPlot;
  #counts: number[] = this.#times.map(() => 0);

  constructor() {
    this.#plot = this.#make();
    new ResizeObserver(() => this.#plot.setSize({ width: this.#width(), height: HEIGHT_PX })).observe(this.#root);
    // A canvas does not follow the style sheet: other colours need another plot.
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.#plot.destroy();
      this.#plot = this.#make();
    });
  }

  draw(counts: number[]): void {
    if (counts.every((count, index) => count === this.#counts[index])) return;
    this.#counts = counts;
    this.#plot.setData([this.#times, counts]);
    const highest = formatCount(Math.max(...counts));
    setText(this.#caption, `highest ${highest}`);
    this.#root.setAttribute(
      "aria-label",
      `Entries per second over the last minute: now ${formatCount(counts.at(-1)!)}, highest ${highest}`,
    );
  }

  #make(): uPlot {
    const style = getComputedStyle(document.documentElement);
    const color = (name: string) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: color("--muted"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: color("--line"), width: 1 },
      ticks: { show: false },
    };
    const options: uPlot.Options = {
      width: this.#width(),
      height: HEIGHT_PX,
      padding: [8, 14, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: false, range: [-RATE_SECONDS, -1] },
        y: { range: (_plot, _min, max) => [0, Math.max(TOP_MIN, max * 1.15)] },
      },
      axes: [
        {
          ...axis,
          size: 22,
          gap: 3,
          splits: () => [-60, -40, -20, -1],
          values: () => ["−60 s", "−40 s", "−20 s", "now"],
        },
        { ...axis, size: 46, gap: 4, space: 30, values: (_plot, splits) => splits.map(shortCount) },
      ],
      series: [{}, { stroke: color("--accent"), width: 2, fill: color("--accent-soft"), points: { show: false } }],
    };
    return new uPlot(options, [this.#times, this.#counts], this.#root);
  }

  #width(): number {
    return Math.max(160, this.#root.clientWidth);
  }
}

function shortCount(count: number): string {
  return count >= 10_000 ? `${count / 1000}k` : formatCount(count);
}
