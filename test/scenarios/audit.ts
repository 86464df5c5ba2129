// What must hold in every scenario, whatever its text expects: one leader an epoch, one entry at each committed place, and
// nothing acknowledged that is not committed everywhere alike.

import { assert } from "../../src/lib/assert.ts";
import type { Epoch, Seq } from "../../src/core/position.ts";
import type { ModelLog } from "./model_log.ts";

export class Audit {
  readonly #leaders = new Map<Epoch, string>();
  readonly #committed = new Map<Seq, number>();
  readonly #commits = new Map<string, Seq>();

  leads(node: string, epoch: Epoch): void {
    const other = this.#leaders.get(epoch) ?? node;
    assert(other === node, `epoch ${epoch} has one leader: ${other} and ${node} say they are`);
    this.#leaders.set(epoch, node);
  }

  /** `node` holds everything up to `seq` to be committed. */
  commits(node: string, seq: Seq, log: ModelLog): void {
    const before = this.#commits.get(node) ?? 0;
    assert(seq >= before, `the commit position of ${node} never goes back, it went from ${before} to ${seq}`);
    assert(seq <= log.end.seq, `${node} has what it holds to be committed: ${seq} with a log up to ${log.end.seq}`);
    for (let each = before + 1; each <= seq; each++) {
      const id = log.entry(each)!.id;
      const known = this.#committed.get(each) ?? id;
      assert(known === id, `entry ${each} is committed once: ${node} has another one than was committed before`);
      this.#committed.set(each, id);
    }
    this.#commits.set(node, seq);
  }

  /** A process that starts anew has no position yet. */
  restarted(node: string): void {
    this.#commits.delete(node);
  }
}
