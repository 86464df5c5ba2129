// The chosen channel: this tab's copy of it, and all that is drawn from that copy and from the node's answers.

import { environment } from "../environment.web.ts";
import type { ReplicaStatus } from "../replica.ts";
import { type ChannelDetail } from "./api.ts";
import { ChainCheck, type ChainVerdict } from "./chain_check.ts";
import { ChannelCopy } from "./channel_copy.ts";
import type { ChannelState } from "./channel_state.ts";
import { EntryStream } from "./entry_stream.ts";
import { Frame } from "./frame.ts";
import type { Guidance } from "./guidance.ts";
import type { Inspection } from "./inspection.ts";
import { RateChart } from "./rate_chart.ts";
import { RateMeter } from "./rate.ts";
import { ReplicaTable } from "./replica_table.ts";
import { StatusPanel } from "./status_panel.ts";

/** Numbers are drawn anew so often: faster they could not be read. */
const STATUS_INTERVAL_MS = 250;

export class ChannelPage implements Inspection {
  readonly #frame = new Frame(() => this.#draw());
  readonly #stream = new EntryStream(() => this.#frame.request());
  readonly #status = new StatusPanel();
  readonly #chart = new RateChart();
  readonly #replicas = new ReplicaTable();
  readonly #guidance: Guidance;
  readonly #onConnected: () => void;
  #copy: ChannelCopy | undefined;
  #rate = new RateMeter();
  #check = new ChainCheck();
  #detail: ChannelDetail | undefined;
  #failure = "";
  #isNodeAway = false;
  #receivedCount = 0;
  #statusDrawnMs = -Infinity;
  #wasConnected = false;

  /** `onConnected`: the copy's session is there, so the node has more to tell. */
  constructor(guidance: Guidance, onConnected: () => void) {
    this.#guidance = guidance;
    this.#onConnected = onConnected;
    const tick = () => {
      this.#frame.request();
      environment.clock.schedule(STATUS_INTERVAL_MS, tick);
    };
    tick();
  }

  get channel(): string {
    return this.#copy?.channel ?? "";
  }

  get status(): ReplicaStatus | undefined {
    return this.#copy?.status;
  }

  get verdict(): ChainVerdict {
    return this.#check.verdict;
  }

  get receivedCount(): number {
    return this.#receivedCount;
  }

  get failure(): string {
    return this.#failure;
  }

  /** Closes the copy that there is and opens one of `channel`; none for the empty name. */
  open(channel: string): void {
    void this.#copy?.close();
    this.#copy = undefined;
    this.#rate = new RateMeter();
    this.#check = new ChainCheck();
    this.#detail = undefined;
    this.#failure = "";
    this.#receivedCount = 0;
    this.#statusDrawnMs = -Infinity;
    this.#stream.clear();
    if (channel !== "") this.#copy = this.#openCopy(channel);
    this.#frame.request();
  }

  /** Whether the node answered when the page last asked it. */
  noteAnswer(isAnswered: boolean): void {
    if (this.#isNodeAway === !isAnswered) return;
    this.#isNodeAway = !isAnswered;
    this.#statusDrawnMs = -Infinity;
    this.#frame.request();
  }

  /** What the node says about the channel; `undefined` where it has none of this name. */
  noteDetail(detail: ChannelDetail | undefined): void {
    const { channel } = this;
    const incarnation = this.status?.incarnation ?? "";
    const isAnother = detail !== undefined && incarnation !== "" && detail.incarnation !== incarnation;
    // Deleted and made again under the same name, or made now: another log, so another copy.
    if (isAnother || (detail !== undefined && this.#failure !== "")) this.open(channel);
    this.#detail = detail;
    if (detail) this.#check.noteNode(detail.nextSeq - 1, detail.chain);
    else if (channel !== "" && this.#failure === "") this.#failure = "The node has no channel of this name.";
    this.#statusDrawnMs = -Infinity;
    this.#frame.request();
  }

  #openCopy(channel: string): ChannelCopy {
    const copy = new ChannelCopy({
      channel,
      onEntries: (batch) => {
        if (this.#copy !== copy) return;
        this.#receivedCount += batch.length;
        this.#rate.add(batch.length, environment.clock.monotonic());
        this.#stream.push(batch);
        this.#frame.request();
      },
      onFailure: (_code, message) => {
        if (this.#copy !== copy) return;
        this.#failure = message;
        this.#frame.request();
      },
    });
    return copy;
  }

  #draw(): void {
    this.#stream.draw();
    const copy = this.status;
    if (copy) this.#check.noteCopy(copy.syncedSeq, copy.chain);
    const now = environment.clock.monotonic();
    if (now - this.#statusDrawnMs < STATUS_INTERVAL_MS || this.channel === "") return;
    this.#statusDrawnMs = now;
    this.#drawStatus(copy, now);
  }

  #drawStatus(copy: ReplicaStatus | undefined, now: number): void {
    const isConnected = copy?.connection === "connected";
    if (isConnected && !this.#wasConnected) this.#onConnected();
    this.#wasConnected = isConnected;
    const state: ChannelState = {
      name: this.channel,
      copy,
      detail: this.#detail,
      verdict: this.verdict,
      entriesPerSecond: this.#rate.current(now),
      isNodeAway: this.#isNodeAway,
      failure: this.#failure,
    };
    this.#status.draw(state);
    this.#chart.draw(this.#rate.seconds(now));
    this.#replicas.draw(this.#detail?.replicas ?? [], copy?.id);
    if (this.#failure !== "" && this.#stream.length === 0) this.#guidance.failed(this.channel, this.#failure);
    else if (this.#stream.length === 0 && this.#detail !== undefined && copy?.connection === "connected") {
      this.#guidance.noEntries(this.channel);
    } else this.#guidance.nothing();
  }
}
