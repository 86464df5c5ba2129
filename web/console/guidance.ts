// What the page says where there is nothing to show: what is the matter and what to do next.

import type { ApiError } from "./api.ts";
import { byId, element, setHidden, setText } from "./element.ts";

export class Guidance {
  readonly #banner = byId("away");
  /** Where no channel is chosen. */
  readonly #welcome = byId("welcome");
  /** In place of the chosen channel's entries. */
  readonly #empty = byId("empty");
  #shown = "";

  /** The node does not answer; what is on the page stays readable. */
  away(error: ApiError | undefined, intervalMs: number): void {
    setHidden(this.#banner, error === undefined);
    if (error === undefined) return;
    const reason = error.status === 0
      ? `The node at ${location.host} does not answer`
      : `The node refuses to answer: ${error.message}`;
    setText(this.#banner, `${reason}. Trying again every ${intervalMs / 1000} s; what is on this page stays readable.`);
  }

  noChannels(): void {
    this.#show(this.#welcome, "no-channels", () => [
      element("h2", {}, "No channels yet"),
      element(
        "p",
        {},
        "A channel is a log: entries are appended at its end and copied, in order, to everyone who follows.",
      ),
      element("p", {}, "Create one on this page, or from a terminal:"),
      command(`curl -X PUT ${location.origin}/v1/channels/orders`),
    ]);
  }

  noEntries(channel: string): void {
    const at = `${location.origin}/v1/channels/${encodeURIComponent(channel)}/entries`;
    this.#show(this.#empty, `no-entries ${channel}`, () => [
      element("h2", {}, "Nothing in here yet"),
      element(
        "p",
        {},
        "Each leadership of a channel begins with a mark of Millrace's own; those are all that is committed.",
      ),
      element("p", {}, "Append a line with the field below, or from a terminal; each line becomes an entry:"),
      command(`seq 1 1000 | curl --data-binary @- -H 'content-type: application/x-ndjson' ${at}`),
    ]);
  }

  /** The copy of `channel` has ended and does not go on by itself. */
  failed(channel: string, reason: string): void {
    this.#show(this.#empty, `failed ${channel} ${reason}`, () => [
      element("h2", {}, `“${channel}” cannot be followed`),
      element("p", {}, reason),
      element("p", {}, "It is looked for again every few seconds."),
    ]);
  }

  nothing(): void {
    this.#show(this.#empty, "", () => []);
  }

  /** `what` names the content: the same again is not made again. */
  #show(target: HTMLElement, what: string, make: () => HTMLElement[]): void {
    if (what === this.#shown) return;
    this.#shown = what;
    for (const place of [this.#welcome, this.#empty]) {
      place.replaceChildren(...(place === target ? make() : []));
      setHidden(place, place !== target || what === "");
    }
  }
}

function command(text: string): HTMLElement {
  return element("pre", { class: "command", tabindex: 0, "aria-label": "command" }, element("code", {}, text));
}
