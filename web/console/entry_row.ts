// One line of the entry list. Lines are used again for other entries: nothing is made or removed while entries stream.

import type { Entry } from "../../src/wire/frame.ts";
import { element } from "./element.ts";
import { formatBytes, formatCount, formatTime } from "./format.ts";
import { previewPayload } from "./payload_text.ts";

/** Id of the line that shows the chosen entry. */
export const SELECTED_ID = "entry-selected";

export class EntryRow {
  readonly root: HTMLElement;
  readonly #seq = new Text();
  readonly #time = new Text();
  readonly #payload = new Text();
  readonly #size = new Text();
  readonly #payloadCell = element("span", { class: "payload" }, this.#payload);
  #entry: Entry | undefined;
  #isSelected = false;

  constructor() {
    this.root = element("div", { class: "entry", role: "option", "aria-selected": "false" });
    this.root.hidden = true;
    this.root.append(
      element("span", { class: "seq" }, this.#seq),
      element("span", { class: "time" }, this.#time),
      this.#payloadCell,
      element("span", { class: "size" }, this.#size),
    );
  }

  get entry(): Entry | undefined {
    return this.#entry;
  }

  /** Shows `entry`, or nothing. */
  show(entry: Entry | undefined, isSelected: boolean): void {
    if (entry !== this.#entry) this.#fill(entry);
    if (isSelected === this.#isSelected) return;
    this.#isSelected = isSelected;
    this.root.setAttribute("aria-selected", String(isSelected));
    // Only the chosen line is referred to by its id.
    if (isSelected) this.root.id = SELECTED_ID;
    else this.root.removeAttribute("id");
  }

  #fill(entry: Entry | undefined): void {
    if ((entry === undefined) !== this.root.hidden) this.root.hidden = entry === undefined;
    this.#entry = entry;
    if (entry === undefined) return;
    const { kind, text, isCut } = previewPayload(entry.payload);
    write(this.#seq, formatCount(entry.seq));
    write(this.#time, formatTime(entry.timestamp));
    write(this.#payload, isCut ? `${text}…` : text);
    write(this.#size, formatBytes(entry.payload.byteLength));
    if (this.#payloadCell.dataset["kind"] !== kind) this.#payloadCell.dataset["kind"] = kind;
  }
}

/** A text node that is kept is cheaper than a new one, and one that is left alone costs no layout. */
function write(node: Text, text: string): void {
  if (node.data !== text) node.data = text;
}
