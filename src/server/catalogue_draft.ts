// What the catalogue will say once the changes that are about to be made are in it: several are decided on at one go, each by
// those before it.

import type { CatalogueRecord, ChannelConfig, VotersRequest } from "../schema/channel.ts";
import type { CatalogueRequest } from "../schema/node_commands.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import { Refusal } from "./refusal.ts";
import { type Candidates, chooseVoters } from "./voters.ts";

export interface CatalogueDraftOptions extends Omit<Candidates, "items"> {
  /** Of this node, whose channels those are of which nothing else is said. */
  readonly nodeId: string;
  /** Milliseconds since 1970. */
  readonly now: number;
}

export class CatalogueDraft {
  readonly records: CatalogueRecord[] = [];
  readonly #catalogue: Catalogue;
  readonly #options: CatalogueDraftOptions;
  /** What differs from the catalogue; `undefined` where there is nothing any more. */
  readonly #items = new Map<string, CatalogueItem | undefined>();
  readonly #deleted = new Set<string>();

  constructor(catalogue: Catalogue, options: CatalogueDraftOptions) {
    this.#catalogue = catalogue;
    this.#options = options;
  }

  /** Takes `request` in. Where there is nothing to change, nothing is. @throws Refusal */
  take(request: CatalogueRequest): void {
    if (request.op === "create") this.#create(request);
    else if (request.op === "delete") this.#delete(request);
    else this.#place(request);
  }

  #item(name: string): CatalogueItem | undefined {
    return this.#items.has(name) ? this.#items.get(name) : this.#catalogue.item(name);
  }

  #create({ name, incarnation, config, voters: asked }: CatalogueRequest & { op: "create" }): void {
    const item = this.#item(name);
    if (item) {
      if (item.incarnation === incarnation) return;
      if (sameConfig(item.config, config) && sameVoters(item.voters, asked)) return;
      const found = JSON.stringify({ ...item.config, voters: item.voters });
      throw new Refusal("channel-exists", `channel ${name} exists with another configuration: ${found}`);
    }
    const { membership, isUp, now } = this.#options;
    const voters = chooseVoters(asked, { membership, isUp, items: this.#catalogue.items });
    this.#items.set(name, { name, incarnation, config, voters, nodes: voters, seq: 0 });
    this.records.push({ op: "create", name, incarnation, config, voters, at: now });
  }

  #delete({ name, incarnation }: CatalogueRequest & { op: "delete" }): void {
    if (this.#deleted.has(incarnation) || this.#catalogue.isDeleted(incarnation)) return;
    this.#known(name, incarnation);
    this.#items.set(name, undefined);
    this.#deleted.add(incarnation);
    this.records.push({ op: "delete", name, incarnation, at: this.#options.now });
  }

  #place({ name, incarnation, add, remove }: CatalogueRequest & { op: "place" }): void {
    const item = this.#known(name, incarnation);
    const kept = (item.nodes ?? [this.#options.nodeId]).filter((id) => id !== remove);
    const nodes = [...new Set(add === undefined ? kept : [...kept, add])].sort();
    if (item.nodes && isSame(nodes, item.nodes)) return;
    this.#items.set(name, { ...item, nodes });
    this.records.push({ op: "place", name, incarnation, nodes, at: this.#options.now });
  }

  #known(name: string, incarnation: string): CatalogueItem {
    const item = this.#item(name);
    if (item?.incarnation === incarnation) return item;
    throw new Refusal("unknown-channel", `there is no channel ${JSON.stringify(name)}`);
  }
}

function sameConfig(a: ChannelConfig, b: ChannelConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whoever does not ask for voters takes those that there are. */
function sameVoters(found: readonly string[] | undefined, asked: VotersRequest | undefined): boolean {
  if (asked === undefined) return true;
  if (typeof asked === "number") return asked === (found?.length ?? 1);
  return found !== undefined && isSame(found, asked);
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return [...a].sort().join() === [...b].sort().join();
}
