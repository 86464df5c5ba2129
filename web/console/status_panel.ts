// What is known about this tab's copy: connection, transport, positions, and whether it equals the node's log.

import type { ReplicaStatus } from "../replica.ts";
import type { ChainVerdict } from "./chain_check.ts";
import { type ChannelState, connectionOf, type Health, transportName } from "./channel_state.ts";
import { byId, setHidden, setText } from "./element.ts";
import { formatCount, formatEntries } from "./format.ts";

export class StatusPanel {
  readonly #pill = byId("live");
  readonly #connection = byId("connection");
  readonly #connectionNote = byId("connection-note");
  readonly #transport = byId("transport");
  readonly #transportNote = byId("transport-note");
  readonly #verified = byId("verified");
  readonly #chain = byId("chain");

  /** Called a few times a second: numbers that change faster cannot be read. */
  draw(state: ChannelState): void {
    const { copy, entriesPerSecond } = state;
    const { health, label, detail } = connectionOf(state);
    setText(this.#pill, health === "good" ? `${label} over ${transportName(copy!.transport)}` : label);
    setHealth(this.#pill, health);
    setText(this.#connection, label);
    setHealth(this.#connection, health);
    note(this.#connectionNote, detail);
    setText(this.#transport, copy ? transportName(copy.transport) : "none");
    note(this.#transportNote, copy ? whyNotWebTransport(copy) : "");
    this.#drawPositions(state);
    setText(byId("rate"), formatCount(entriesPerSecond));
    this.#drawVerdict(state.verdict);
  }

  #drawPositions({ copy, detail }: ChannelState): void {
    // The copy hears of commits at once; the node's answer to the page may be older.
    const commit = Math.max(copy?.commit ?? 0, detail?.commit ?? 0);
    const synced = copy?.syncedSeq ?? 0;
    const lag = Math.max(0, commit - synced);
    setText(byId("commit"), formatCount(commit));
    setText(byId("synced"), copy ? formatCount(synced) : "none yet");
    setText(byId("lag"), formatEntries(lag));
    setText(byId("summary-commit"), formatCount(commit));
    setText(byId("summary-lag"), formatCount(lag));
    setText(byId("kept"), copy && synced > 0 ? `${formatCount(copy.firstSeq)} to ${formatCount(synced)}` : "none yet");
    setText(byId("epoch"), detail ? `${detail.epoch}, this node is ${detail.role}` : "unknown");
    setText(byId("incarnation"), copy?.incarnation || detail?.incarnation || "unknown");
  }

  #drawVerdict(verdict: ChainVerdict): void {
    const texts = {
      unknown: "not yet compared",
      equal: "equal",
      different: "DIFFERENT",
    };
    setText(this.#verified, texts[verdict.kind]);
    setHealth(this.#verified, verdict.kind === "equal" ? "good" : verdict.kind === "different" ? "bad" : "busy");
    const place = verdict.kind === "unknown" ? "" : `entry ${formatCount(verdict.seq)}, chain ${verdict.copy}`;
    note(this.#chain, verdict.kind === "different" ? `${place}; the node has ${verdict.node}` : place);
  }
}

function whyNotWebTransport({ transport, fallbacks }: ReplicaStatus): string {
  if (transport !== "websocket") return "";
  return fallbacks.findLast((reason) => reason.startsWith("webtransport"))?.replace(
    "webtransport: ",
    "WebTransport: ",
  ) ??
    "";
}

function setHealth(target: HTMLElement, health: Health): void {
  if (target.dataset["health"] !== health) target.dataset["health"] = health;
}

function note(target: HTMLElement, text: string): void {
  setText(target, text);
  setHidden(target, text === "");
}
