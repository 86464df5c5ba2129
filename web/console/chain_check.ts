// Whether this copy equals the node's log: both have a chain checksum over all entries up to a seq, and where the seqs meet
// the checksums must.

/** Places of the copy that are remembered: at one a frame, some seconds of them. */
const COPY_PLACES_MAX = 512;
const NODE_PLACES_MAX = 16;

export type ChainVerdict =
  | { readonly kind: "unknown" }
  | { readonly kind: "equal" | "different"; readonly seq: number; readonly copy: string; readonly node: string };

export class ChainCheck {
  readonly #copy = new Map<number, string>();
  readonly #node = new Map<number, string>();
  #verdict: ChainVerdict = { kind: "unknown" };

  get verdict(): ChainVerdict {
    return this.#verdict;
  }

  /** The copy's prefix that ends with entry `seq` has this checksum. */
  noteCopy(seq: number, chain: string): void {
    if (seq === 0 || this.#copy.has(seq)) return;
    remember(this.#copy, COPY_PLACES_MAX, seq, chain);
    this.#compare(seq);
  }

  /** The node's prefix that ends with entry `seq` has this checksum. */
  noteNode(seq: number, chain: string): void {
    if (seq === 0) return;
    remember(this.#node, NODE_PLACES_MAX, seq, chain);
    this.#compare(seq);
  }

  #compare(seq: number): void {
    const copy = this.#copy.get(seq);
    const node = this.#node.get(seq);
    // A difference is not forgiven by a later place: checksums that differ once are of different histories.
    if (copy === undefined || node === undefined || this.#verdict.kind === "different") return;
    this.#verdict = { kind: copy === node ? "equal" : "different", seq, copy, node };
  }
}

function remember(places: Map<number, string>, sizeMax: number, seq: number, chain: string): void {
  places.set(seq, chain);
  if (places.size <= sizeMax) return;
  for (const oldest of places.keys()) return void places.delete(oldest);
}
