// The entries of the buffer as a list that scrolls. Lines have one height, so only those in sight are in the document, however
// many entries there are. It sticks to the newest until someone scrolls up.

import type { Entry } from "../../src/wire/frame.ts";
import type { EntryBuffer } from "./entry_buffer.ts";
import { formatCount } from "./format.ts";
import { EntryRow, SELECTED_ID } from "./entry_row.ts";

/** Lines in the document at most. */
export const ROWS_MAX = 300;
/** Lines drawn above and below what is in sight, so that scrolling shows no gaps. */
const OVERSCAN_ROWS = 4;
/**
 * While the list is at its end, the spacer may be off by this share: a height or a scroll position that changed with every
 * frame would cost more than all the text (a third of the page's time at 5,000 entries/s).
 */
const SPACER_SLACK = 0.2;
/** This close to the end counts as being there. */
const END_TOLERANCE_PX = 6;

export interface EntryListOptions {
  /** The element that scrolls; it holds `spacer`, which holds `rows`. */
  readonly viewport: HTMLElement;
  readonly spacer: HTMLElement;
  readonly rows: HTMLElement;
  /** Something was scrolled or chosen: the list wants to be drawn. */
  readonly onChange: () => void;
}

export class EntryList {
  readonly #options: EntryListOptions;
  readonly #rows: EntryRow[] = [];
  #buffer: EntryBuffer;
  #rowPx = 28;
  #viewPx = 0;
  #scrollPx = 0;
  /** Height of the spacer. */
  #spacerPx = 0;
  /** By how much the spacer is higher than the entries need: they are at its end. */
  #shiftPx = 0;
  #rowsPx = -1;
  #seqDigits = 0;
  #droppedCount = 0;
  #isAtEnd = true;
  #selected: Entry | undefined;
  /** Whether the list was at its end when an entry was chosen, so goes back there when none is. */
  #wasAtEnd = true;

  constructor(buffer: EntryBuffer, options: EntryListOptions) {
    this.#options = options;
    this.#buffer = buffer;
    const { viewport } = options;
    viewport.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    viewport.addEventListener("keydown", (event) => this.#pressed(event));
    options.rows.addEventListener("click", (event) => this.#clicked(event.target));
    new ResizeObserver(() => this.#resized()).observe(viewport);
  }

  /** Whether the newest entry is in sight, so that newer ones move the list. */
  get isAtEnd(): boolean {
    return this.#isAtEnd;
  }

  get selected(): Entry | undefined {
    return this.#selected;
  }

  /** Lists another buffer, from its end. */
  show(buffer: EntryBuffer): void {
    this.#buffer = buffer;
    this.#droppedCount = buffer.droppedCount;
    this.#isAtEnd = true;
    this.#selected = undefined;
  }

  select(entry: Entry | undefined): void {
    if (this.#selected === undefined) this.#wasAtEnd = this.#isAtEnd;
    this.#selected = entry;
    this.#isAtEnd = entry === undefined && this.#wasAtEnd;
    this.draw();
    this.#options.onChange();
  }

  toEnd(): void {
    this.#isAtEnd = true;
    this.#options.onChange();
  }

  /** Called once per animation frame at most. Reads no layout: what it needs was learned from events. */
  draw(): void {
    this.#place();
    const contentPx = this.#scrollPx - this.#shiftPx;
    const first = Math.max(0, Math.floor(contentPx / this.#rowPx) - OVERSCAN_ROWS);
    const { viewport, rows } = this.#options;
    const rowsPx = this.#shiftPx + first * this.#rowPx;
    if (rowsPx !== this.#rowsPx) rows.style.transform = `translateY(${rowsPx}px)`;
    this.#rowsPx = rowsPx;
    for (const [index, row] of this.#rows.entries()) {
      const entry = this.#buffer.at(first + index);
      row.show(entry, entry !== undefined && entry === this.#selected);
    }
    this.#widen();
    const active = this.#selected ? SELECTED_ID : "";
    if (viewport.getAttribute("aria-activedescendant") !== active) {
      viewport.setAttribute("aria-activedescendant", active);
    }
  }

  /** Gives the spacer its height and the view its place in it, where they are not right already. */
  #place(): void {
    const { viewport, spacer } = this.#options;
    const total = this.#buffer.length * this.#rowPx;
    const droppedPx = (this.#buffer.droppedCount - this.#droppedCount) * this.#rowPx;
    this.#droppedCount = this.#buffer.droppedCount;
    const before = this.#scrollPx - this.#shiftPx - droppedPx;
    const isNear = total > this.#viewPx && Math.abs(this.#spacerPx - total) <= SPACER_SLACK * total;
    const height = this.#isAtEnd && isNear ? this.#spacerPx : total;
    if (height !== this.#spacerPx) spacer.style.height = `${height}px`;
    this.#spacerPx = height;
    this.#shiftPx = height - total;
    const end = Math.max(0, height - this.#viewPx);
    const scroll = this.#isAtEnd ? end : Math.min(end, Math.max(0, before));
    if (scroll !== this.#scrollPx) viewport.scrollTop = this.#scrollPx = scroll;
  }

  /** Makes room for the digits of the highest seq: lines whose columns have fixed widths are laid out faster. */
  #widen(): void {
    const digits = formatCount(this.#buffer.at(this.#buffer.length - 1)?.seq ?? 0).length;
    if (digits !== this.#seqDigits) this.#options.rows.style.setProperty("--seq", `${digits}ch`);
    this.#seqDigits = digits;
  }

  #resized(): void {
    const { viewport, rows } = this.#options;
    this.#viewPx = viewport.clientHeight;
    this.#rowPx = parseFloat(getComputedStyle(rows).getPropertyValue("--row")) || this.#rowPx;
    const wanted = Math.min(ROWS_MAX, Math.ceil(this.#viewPx / this.#rowPx) + 2 * OVERSCAN_ROWS);
    while (this.#rows.length < wanted) {
      const row = new EntryRow();
      this.#rows.push(row);
      rows.append(row.root);
    }
    while (this.#rows.length > wanted) this.#rows.pop()!.root.remove();
    // The chosen entry is shown in full below the list, which takes room from it.
    if (this.#selected) this.#reveal(this.#buffer.indexOf(this.#selected.seq));
    this.#options.onChange();
  }

  #scrolled(): void {
    const { viewport } = this.#options;
    this.#scrollPx = viewport.scrollTop;
    // Of what was last drawn: entries that came since do not make a reader at the end one who scrolled up.
    const isAtEnd = this.#scrollPx >= this.#spacerPx - this.#viewPx - END_TOLERANCE_PX;
    this.#isAtEnd = isAtEnd && this.#selected === undefined;
    this.#options.onChange();
  }

  #clicked(target: EventTarget | null): void {
    const root = target instanceof Element ? target.closest(".entry") : null;
    const row = this.#rows.find((each) => each.root === root);
    if (row?.entry) this.select(row.entry === this.#selected ? undefined : row.entry);
  }

  #pressed(event: KeyboardEvent): void {
    if (event.key === "Escape") return this.select(undefined);
    const pageRows = Math.max(1, Math.floor(this.#viewPx / this.#rowPx) - 1);
    const steps: Record<string, number> = {
      ArrowUp: -1,
      ArrowDown: 1,
      PageUp: -pageRows,
      PageDown: pageRows,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || this.#buffer.length === 0) return;
    event.preventDefault();
    const last = this.#buffer.length - 1;
    const from = this.#selected ? this.#buffer.indexOf(this.#selected.seq) : last + 1;
    const index = Math.min(last, Math.max(0, from + step));
    this.select(this.#buffer.at(index));
    this.#reveal(index);
  }

  #reveal(index: number): void {
    const top = index * this.#rowPx;
    const { viewport } = this.#options;
    if (top < this.#scrollPx) viewport.scrollTop = top;
    else if (top + this.#rowPx > this.#scrollPx + this.#viewPx) viewport.scrollTop = top + this.#rowPx - this.#viewPx;
  }
}
