// The replicas of the channel that the node feeds, this tab among them.

import type { ReplicaInfo } from "./api.ts";
import { byId, element, setHidden, setText } from "./element.ts";
import { formatBytes, formatCount, formatDuration, formatEntries } from "./format.ts";
import { transportName } from "./channel_state.ts";

const SHOWN_MAX = 50;
const COLUMNS = 3;

export class ReplicaTable {
  readonly #body = byId("replicas", HTMLTableSectionElement);
  readonly #note = byId("replicas-note");

  /** `ownId` is the id of this tab's copy. */
  draw(replicas: readonly ReplicaInfo[], ownId: string | undefined): void {
    const own = replicas.filter(({ id }) => id === ownId);
    // The slowest are those that someone looks for.
    const others = replicas.filter(({ id }) => id !== ownId).sort((a, b) => b.lagEntries - a.lagEntries);
    const shown = [...own, ...others].slice(0, SHOWN_MAX);
    while (this.#body.rows.length > shown.length) this.#body.deleteRow(-1);
    while (this.#body.rows.length < shown.length) this.#body.append(emptyRow());
    for (const [index, replica] of shown.entries()) fill(this.#body.rows[index]!, replica, replica.id === ownId);
    const more = replicas.length - shown.length;
    setText(byId("replicas-count"), formatCount(replicas.length));
    setText(this.#note, more > 0 ? `${formatCount(more)} more are not listed.` : "No replica is connected.");
    setHidden(this.#note, replicas.length > 0 && more === 0);
    setHidden(byId("replicas-table"), replicas.length === 0);
  }
}

function emptyRow(): HTMLTableRowElement {
  const row = element("tr", {}, element("th", { scope: "row" }));
  while (row.cells.length < COLUMNS) row.append(element("td"));
  for (const cell of row.cells) cell.append(element("span"), element("span", { class: "note" }));
  return row;
}

function fill(row: HTMLTableRowElement, replica: ReplicaInfo, isOwn: boolean): void {
  const { id, kind, transport, state, ackedSeq, lagEntries, lagBytes, lagMs } = replica;
  const isBehind = lagEntries > 0;
  const texts = [
    [isOwn ? "this tab" : shortId(id), `${kind}, ${transportName(transport)}`],
    [`acked ${formatCount(ackedSeq)}`, state],
    [
      isBehind ? formatEntries(lagEntries) : "none",
      isBehind ? `${formatBytes(lagBytes)}, ${formatDuration(lagMs)}` : "",
    ],
  ] as const;
  for (const [index, [above, below]] of texts.entries()) {
    const cell = row.cells[index]!;
    setText(cell.children[0]!, above);
    setText(cell.children[1]!, below);
  }
  if (row.title !== id) row.title = id;
  row.classList.toggle("is-own", isOwn);
}

function shortId(id: string): string {
  return id.length <= 14 ? id : `${id.slice(0, 12)}…`;
}
