// The chosen entry in full.

import type { Entry } from "../../src/wire/frame.ts";
import { byId, setHidden, setText } from "./element.ts";
import { formatBytes, formatCount, formatDateTime } from "./format.ts";
import { type PayloadKind, readablePayload } from "./payload_text.ts";

const KINDS: Readonly<Record<PayloadKind, string>> = {
  empty: "no payload",
  json: "JSON, indented for reading",
  text: "text",
  binary: "binary",
};

export class EntryDetail {
  readonly #root = byId("detail");
  readonly #title = byId("detail-title");
  readonly #facts = byId("detail-facts");
  readonly #text = byId("detail-text");
  readonly #copy = byId("detail-copy", HTMLButtonElement);
  #entry: Entry | undefined;

  constructor(onClose: () => void) {
    byId("detail-close").addEventListener("click", onClose);
    this.#root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") onClose();
    });
    this.#copy.addEventListener("click", () => void this.#toClipboard());
    // Pages from other than loopback or HTTPS have no clipboard.
    this.#copy.hidden = !("clipboard" in navigator);
  }

  show(entry: Entry | undefined): void {
    if (entry === this.#entry) return;
    this.#entry = entry;
    setHidden(this.#root, entry === undefined);
    if (entry === undefined) return;
    const { kind, text, isCut } = readablePayload(entry.payload);
    setText(this.#title, `Entry ${formatCount(entry.seq)}`);
    const facts = [
      formatDateTime(entry.timestamp),
      `epoch ${entry.epoch}`,
      formatBytes(entry.payload.byteLength),
      isCut ? `${KINDS[kind]}, the beginning` : KINDS[kind],
    ];
    setText(this.#facts, facts.join(" · "));
    setText(this.#text, text);
    setText(this.#copy, "Copy");
    this.#text.scrollTop = 0;
  }

  async #toClipboard(): Promise<void> {
    try {
      await navigator.clipboard.writeText(this.#text.textContent ?? "");
      setText(this.#copy, "Copied");
    } catch {
      setText(this.#copy, "Not allowed");
    }
  }
}
