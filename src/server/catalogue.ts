// Which channels exist: itself a channel, `_catalogue`, whose entries are records of creation, placement and deletion. The state
// is what applying all committed ones in order gives, the same on every node; it is kept nowhere else.

import type { Seq } from "../core/position.ts";
import { Watermark } from "../lib/watermark.ts";
import type { LogSlice } from "../log/log_store.ts";
import { type CatalogueRecord, catalogueRecord, type ChannelConfig } from "../schema/channel.ts";
import { entriesOf, EntryType } from "../wire/frame.ts";
import type { Channel } from "./channel.ts";

export const CATALOGUE_NAME = "_catalogue";
/** The catalogue's incarnation and log id: it is never deleted. */
export const CATALOGUE_INCARNATION = "_catalogue";
const READ_BYTES_MAX = 1 << 20;

export interface CatalogueItem {
  readonly name: string;
  readonly incarnation: string;
  readonly config: ChannelConfig;
  /** The voters that it began with; absent where a node that was alone made it. */
  readonly voters: readonly string[] | undefined;
  /** The nodes that take part. */
  readonly nodes: readonly string[] | undefined;
  /** Where its creation is recorded. */
  readonly seq: Seq;
}

/** What a stretch of the catalogue is about: to be looked at again. */
export interface CatalogueChanges {
  readonly names: ReadonlySet<string>;
  /** Incarnations whose deletion is recorded; their logs may be removed. */
  readonly deleted: ReadonlySet<string>;
}

export class Catalogue {
  /** Last entry that is applied, and whose consequences for this node are drawn. */
  readonly applied = new Watermark(0);
  readonly #items = new Map<string, CatalogueItem>();
  readonly #deleted = new Set<string>();

  get items(): Iterable<CatalogueItem> {
    return this.#items.values();
  }

  item(name: string): CatalogueItem | undefined {
    return this.#items.get(name);
  }

  isDeleted(incarnation: string): boolean {
    return this.#deleted.has(incarnation);
  }

  /**
   * Applies every committed record of `channel` in order, and those that come, until the channel is gone.
   * @throws where a record cannot be read: nothing is guessed.
   */
  async follow(channel: Channel, draw: (changes: CatalogueChanges) => Promise<void>): Promise<never> {
    for (;;) {
      await channel.commit.reached(this.applied.value + 1, channel.gone);
      const upTo = channel.commit.value;
      await draw(await this.#apply(channel, upTo));
      this.applied.advance(upTo);
    }
  }

  #takeAll(slice: LogSlice, changes: { names: Set<string>; deleted: Set<string> }): void {
    for (const entry of entriesOf(slice.bytes)) {
      if (entry.type === EntryType.data) this.#take(recordOf(entry.payload), entry.seq, changes);
    }
  }

  async #apply({ log, gone }: Channel, upTo: Seq): Promise<CatalogueChanges> {
    const changes = { names: new Set<string>(), deleted: new Set<string>() };
    const cursor = log.cursor(this.applied.value + 1);
    try {
      while (cursor.nextSeq <= upTo) {
        const slice = await cursor.read({ upTo, bytesMax: READ_BYTES_MAX });
        // What is committed elsewhere may still be on its way to this disk.
        if (slice) this.#takeAll(slice, changes);
        else await log.written.reached(cursor.nextSeq, gone);
      }
      return changes;
    } finally {
      cursor.close();
    }
  }

  #take(record: CatalogueRecord, seq: Seq, changes: { names: Set<string>; deleted: Set<string> }): void {
    const { name, incarnation } = record;
    const item = this.#items.get(name);
    // The first of two creations counts: the second was recorded by a leader that did not know of it.
    if (record.op === "create" ? item : item?.incarnation !== incarnation) return;
    changes.names.add(name);
    if (record.op === "create") {
      const { config, voters } = record;
      this.#items.set(name, { name, incarnation, config, voters, nodes: voters, seq });
    } else if (record.op === "place") {
      this.#items.set(name, { ...item!, nodes: record.nodes });
    } else {
      this.#items.delete(name);
      this.#deleted.add(incarnation);
      changes.deleted.add(incarnation);
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
