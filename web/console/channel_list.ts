// The channels of the node, as links to themselves.

import type { ListedChannel } from "./api.ts";
import { byId, element, setHidden, setText } from "./element.ts";
import { formatBytes, formatCount, formatEntries } from "./format.ts";

/** Channels in the document at most; the filter reaches the others. */
const SHOWN_MAX = 200;

interface Item {
  readonly root: HTMLElement;
  readonly link: HTMLAnchorElement;
  readonly facts: HTMLElement;
}

export class ChannelList {
  readonly #root = byId("channels");
  readonly #filter = byId("filter", HTMLInputElement);
  readonly #note = byId("channels-note");
  readonly #items = new Map<string, Item>();
  #channels: readonly ListedChannel[] = [];
  #hasMore = false;
  #selected = "";

  constructor() {
    this.#filter.addEventListener("input", () => this.#draw());
  }

  show({ channels, hasMore }: { channels: readonly ListedChannel[]; hasMore: boolean }): void {
    this.#channels = channels;
    this.#hasMore = hasMore;
    this.#draw();
  }

  select(channel: string): void {
    this.#selected = channel;
    this.#draw();
  }

  #draw(): void {
    const sought = this.#filter.value.trim().toLowerCase();
    const found = this.#channels.filter(({ name }) => name.toLowerCase().includes(sought));
    const shown = found.slice(0, SHOWN_MAX);
    for (const [index, channel] of shown.entries()) {
      const item = this.#itemOf(channel.name);
      this.#fill(item, channel);
      if (this.#root.children[index] !== item.root) {
        this.#root.insertBefore(item.root, this.#root.children[index] ?? null);
      }
    }
    const names = new Set(shown.map(({ name }) => name));
    for (const [name, { root }] of this.#items) {
      if (names.has(name)) continue;
      root.remove();
      this.#items.delete(name);
    }
    setHidden(byId("filter-field"), this.#channels.length < 2 && sought === "");
    this.#drawNote(found.length, shown.length);
  }

  #itemOf(name: string): Item {
    const known = this.#items.get(name);
    if (known) return known;
    const facts = element("span", { class: "facts" });
    const link = element(
      "a",
      { href: `#${encodeURIComponent(name)}` },
      element("span", { class: "name" }, name),
      facts,
    );
    const item = { root: element("li", {}, link), link, facts };
    this.#items.set(name, item);
    return item;
  }

  #fill({ link, facts }: Item, { name, commit, bytes, damage, fenced, replicaCount }: ListedChannel): void {
    const parts = [
      formatEntries(commit),
      formatBytes(bytes),
      replicaCount === 1 ? "1 copy" : `${replicaCount} copies`,
    ];
    if (damage) parts.unshift("damaged");
    else if (fenced !== null) parts.unshift("read only");
    setText(facts, parts.join(" · "));
    link.classList.toggle("is-bad", damage !== null || fenced !== null);
    if (name === this.#selected) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }

  #drawNote(foundCount: number, shownCount: number): void {
    let note = "";
    if (this.#channels.length > 0 && foundCount === 0) note = "No channel has this in its name.";
    else if (foundCount > shownCount) note = `${formatCount(foundCount - shownCount)} more: narrow the filter.`;
    else if (this.#hasMore) note = `The first ${formatCount(this.#channels.length)} by name.`;
    setText(this.#note, note);
    setHidden(this.#note, note === "");
  }
}
