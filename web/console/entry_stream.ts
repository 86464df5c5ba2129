// The live stream: entries as they come, the pause button, how many wait, the chosen entry, and what to say while there is
// nothing.

import type { Entry } from "../../src/wire/frame.ts";
import { byId, setHidden, setText } from "./element.ts";
import { EntryBuffer } from "./entry_buffer.ts";
import { EntryDetail } from "./entry_detail.ts";
import { EntryList } from "./entry_list.ts";
import { formatCount } from "./format.ts";

export class EntryStream {
  readonly #pause = byId("pause", HTMLButtonElement);
  readonly #newer = byId("newer", HTMLButtonElement);
  readonly #list: EntryList;
  readonly #detail: EntryDetail;
  #buffer = new EntryBuffer();
  #isPaused = false;

  /** `onChange` asks for `draw` in the next frame. */
  constructor(onChange: () => void) {
    this.#list = new EntryList(this.#buffer, {
      viewport: byId("entries"),
      spacer: byId("entries-spacer"),
      rows: byId("entries-rows"),
      onChange,
    });
    this.#detail = new EntryDetail(() => {
      this.#list.select(undefined);
      byId("entries").focus();
    });
    this.#pause.addEventListener("click", () => {
      if (this.#buffer.isHeld) return this.#follow();
      this.#isPaused = true;
      onChange();
    });
    this.#newer.addEventListener("click", () => this.#follow());
  }

  get length(): number {
    return this.#buffer.length;
  }

  /** Begins anew, for another channel. */
  clear(): void {
    this.#buffer = new EntryBuffer();
    this.#isPaused = false;
    this.#list.show(this.#buffer);
  }

  push(batch: readonly Entry[]): void {
    this.#buffer.push(batch);
  }

  draw(): void {
    const { selected, isAtEnd } = this.#list;
    const isHeld = this.#isPaused || selected !== undefined || !isAtEnd;
    if (isHeld && !this.#buffer.isHeld) this.#buffer.hold();
    if (!isHeld && this.#buffer.isHeld) this.#buffer.release();
    this.#list.draw();
    this.#detail.show(selected);
    this.#drawButtons(isHeld);
  }

  #drawButtons(isHeld: boolean): void {
    const { waitingCount } = this.#buffer;
    setText(this.#pause, isHeld ? "Resume" : "Pause");
    this.#pause.classList.toggle("is-main", isHeld);
    setHidden(this.#newer, !isHeld || (waitingCount === 0 && this.#list.isAtEnd));
    setText(this.#newer, waitingCount === 0 ? "Newest ↓" : `${formatCount(waitingCount)} new ↓`);
  }

  #follow(): void {
    this.#isPaused = false;
    this.#list.select(undefined);
    this.#list.toEnd();
  }
}
