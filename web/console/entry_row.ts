// One line of the entry list. Lines are used again for other entries: nothing is made or removed while entries stream.

import type { Entry } from "../../src/wire/frame.ts";
import { element } from "./element.ts";
import { formatBytes, formatCount, formatTime } from "./format.ts";
import { previewPayload } from "./payload_text.ts";

export class EntryRow {
  readonly root: HTMLElement;
  readonly #seq = element("span", { class: "seq" });
  readonly #time = element("span", { class: "time" });
  readonly #payload = element("span", { class: "payload" });
  readonly #size = element("span", { class: "size" });
  #entry: Entry | undefined;
  #isSelected = false;

  constructor() {
    this.root = element("div", { class: "entry", role: "option", "aria-selected": "false" });
    this.root.append(this.#seq, this.#time, this.#payload, this.#size);
  }

  get entry(): Entry | undefined {
    return this.#entry;
  }

  /** Shows `entry`, or nothing. */
  show(entry: Entry | undefined, isSelected: boolean): void {
    if (entry !== this.#entry) this.#fill(entry);
    if (isSelected !== this.#isSelected) {
      this.#isSelected = isSelected;
      this.root.setAttribute("aria-selected", String(isSelected));
    }
  }

  #fill(entry: Entry | undefined): void {
    this.root.hidden = entry === undefined;
    this.#entry = entry;
    if (entry === undefined) return;
    const { kind, text, isCut } = previewPayload(entry.payload);
    this.root.id = `entry-${entry.seq}`;
    this.#seq.textContent = formatCount(entry.seq);
    this.#time.textContent = formatTime(entry.timestamp);
    this.#payload.textContent = isCut ? `${text}…` : text;
    this.#payload.dataset["kind"] = kind;
    this.#size.textContent = formatBytes(entry.payload.byteLength);
  }
}
