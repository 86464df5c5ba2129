// What waits for a member's machine: two bounded queues, of which the urgent one is always emptied first. So an election is
// not held up by the entries that came before it, and a flood of either costs no more than its bound.

export interface InboxLimits {
  readonly urgentItemsMax: number;
  readonly ordinaryItemsMax: number;
  /** Bytes that ordinary items may hold together; one item is always taken. */
  readonly ordinaryBytesMax: number;
}

export const URGENT_ITEMS_MAX = 256;
export const ORDINARY_ITEMS_MAX = 1_024;

interface Waiting<Item> {
  readonly item: Item;
  readonly byteLength: number;
}

export class Inbox<Item> {
  readonly #limits: InboxLimits;
  #urgent: Item[] = [];
  #ordinary: Waiting<Item>[] = [];
  #ordinaryBytes = 0;

  constructor(limits: InboxLimits) {
    this.#limits = limits;
  }

  /** Items that wait. */
  get size(): number {
    return this.#urgent.length + this.#ordinary.length;
  }

  /** Takes an item that waits before all ordinary ones; false where there is no room for it. */
  offerUrgent(item: Item): boolean {
    if (this.#urgent.length >= this.#limits.urgentItemsMax) return false;
    this.#urgent.push(item);
    return true;
  }

  /** Takes an item that holds `byteLength` bytes of memory; false where there is no room for it. */
  offer(item: Item, byteLength = 0): boolean {
    const { ordinaryItemsMax, ordinaryBytesMax } = this.#limits;
    if (this.#ordinary.length >= ordinaryItemsMax) return false;
    if (this.#ordinaryBytes > 0 && this.#ordinaryBytes + byteLength > ordinaryBytesMax) return false;
    this.#ordinary.push({ item, byteLength });
    this.#ordinaryBytes += byteLength;
    return true;
  }

  /** The next item, urgent ones first, each kind in the order in which it came. */
  take(): Item | undefined {
    if (this.#urgent.length > 0) return this.#urgent.shift();
    const next = this.#ordinary.shift();
    this.#ordinaryBytes -= next?.byteLength ?? 0;
    return next?.item;
  }

  clear(): void {
    this.#urgent = [];
    this.#ordinary = [];
    this.#ordinaryBytes = 0;
  }
}
