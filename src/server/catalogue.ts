// Which channels exist: itself a channel, `_catalogue`, whose entries are records of creation and deletion. The state is what
// applying all of them in order gives; it is kept nowhere else.

import { utf8 } from "../lib/bytes.ts";
import { type CatalogueRecord, catalogueRecord, type ChannelConfig } from "../schema/channel.ts";
import { entriesOf, EntryType } from "../wire/frame.ts";
import { frameUnplaced } from "../wire/stamp_run.ts";
import type { Channel } from "./channel.ts";

export const CATALOGUE_NAME = "_catalogue";
/** The catalogue's incarnation and log id: it is never deleted. */
export const CATALOGUE_INCARNATION = "_catalogue";
const READ_BYTES_MAX = 1 << 20;

export interface CatalogueItem {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
}

export class Catalogue {
  readonly #channel: Channel;
  readonly #items = new Map<string, CatalogueItem>();
  /** Incarnations whose deletion is recorded; their logs may be removed. */
  readonly deleted = new Set<string>();

  private constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Applies every committed record of `channel`. @throws where a record cannot be read: nothing is guessed. */
  static async open(channel: Channel): Promise<Catalogue> {
    const catalogue = new Catalogue(channel);
    const { log, commit } = channel;
    if (log.damage) throw new Error(`the catalogue is damaged: ${log.damage.place}: ${log.damage.reason}`);
    const cursor = log.cursor(log.firstSeq);
    for (;;) {
      const slice = await cursor.read({ upTo: commit.value, bytesMax: READ_BYTES_MAX });
      if (!slice) break;
      for (const entry of entriesOf(slice.bytes)) {
        if (entry.type === EntryType.data) catalogue.#apply(recordOf(entry.payload));
      }
    }
    cursor.close();
    return catalogue;
  }

  get items(): Iterable<CatalogueItem> {
    return this.#items.values();
  }

  /** Records `item` durably, then shows it. */
  async create(item: CatalogueItem, at: number): Promise<void> {
    await this.#record({ op: "create", ...item, at });
  }

  async delete({ name, incarnation }: Omit<CatalogueItem, "config">, at: number): Promise<void> {
    await this.#record({ op: "delete", name, incarnation, at });
  }

  async #record(record: CatalogueRecord): Promise<void> {
    await this.#channel.append({ frames: frameUnplaced([utf8(JSON.stringify(record))]), ack: "quorum" });
    this.#apply(record);
  }

  #apply(record: CatalogueRecord): void {
    if (record.op === "create") {
      const { name, incarnation, config } = record;
      this.#items.set(name, { name, incarnation, config });
    } else if (this.#items.get(record.name)?.incarnation === record.incarnation) {
      this.#items.delete(record.name);
      this.deleted.add(record.incarnation);
    }
  }
}

function recordOf(payload: Uint8Array): CatalogueRecord {
  const text = new TextDecoder().decode(payload);
  const parsed = catalogueRecord.safeParse(JSON.parse(text));
  if (!parsed.success) {
    throw new Error(`a catalogue record cannot be read: ${text.slice(0, 200)}: ${parsed.error.message}`);
  }
  return parsed.data;
}
