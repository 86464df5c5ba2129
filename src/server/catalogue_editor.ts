// Changes of the catalogue: asked for on any node, made by its leader, one after the other, seen by whoever asked when it is told.

import { sleep } from "../core/environment.ts";
import type { Environment } from "../core/environment.ts";
import { utf8 } from "../lib/bytes.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { isOfPeer } from "../peer/peer_error.ts";
import type { CatalogueRecord, ChannelConfig, VotersRequest } from "../schema/channel.ts";
import { catalogueChanged, type CatalogueRequest, catalogueRequest, outcome } from "../schema/node_commands.ts";
import { frameUnplaced } from "../wire/stamp_run.ts";
import type { Catalogue, CatalogueItem } from "./catalogue.ts";
import type { Channel } from "./channel.ts";
import { isUnsent, type Outcome, outcomeOf, valueOf } from "./outcome.ts";
import { Refusal } from "./refusal.ts";
import { chooseVoters } from "./voters.ts";

const command = new Command<CatalogueRequest, Outcome<{ seq: number }>>("millrace/catalogue", {
  value: jsonCodec(catalogueRequest),
  reply: jsonCodec(outcome(catalogueChanged)),
});

/** How soon a request is made again that met no leader. */
const RETRY_MS = 50;
/** Changes that may wait for their turn on the leader. */
const WAITING_MAX = 1_024;
/** What another leader, or the same one a moment later, may answer otherwise. */
const PASSING: readonly string[] = ["not-leader", "no-leader", "append-unknown", "draining"];

export interface CatalogueEditorOptions {
  readonly catalogue: Catalogue;
  /** The catalogue's channel; another one after its log was repaired. */
  readonly channel: () => Channel;
  readonly mesh: Mesh;
  readonly nodeId: string;
  readonly environment: Environment;
  readonly timeoutMs: number;
}

export class CatalogueEditor {
  readonly #options: CatalogueEditorOptions;
  /** Settles when the change under way is done. */
  #changing: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(options: CatalogueEditorOptions) {
    this.#options = options;
    options.mesh.handle(command, (request) => outcomeOf(() => this.#make(request)));
  }

  /** Has `request` done by whoever leads the catalogue, and sees it done here. @throws Refusal */
  async edit(request: CatalogueRequest): Promise<void> {
    const { environment: { clock }, timeoutMs } = this.#options;
    const over = new AbortController();
    const cancel = clock.schedule(timeoutMs, () => over.abort(new Error("no time is left")));
    const tried = { isPossiblyMade: false };
    try {
      while (!await this.#try(request, { signal: over.signal, tried })) await sleep(clock, RETRY_MS, over.signal);
    } catch (error) {
      if (!over.signal.aborted) throw error;
      const code = tried.isPossiblyMade ? "append-timeout" : "no-leader";
      throw new Refusal(code, `the catalogue was not changed within ${timeoutMs} ms`, {}, { cause: error });
    } finally {
      cancel();
    }
  }

  /** Answers whether it is done; where not, it may be done yet or at another time. @throws what trying again does not help. */
  async #try(
    request: CatalogueRequest,
    { signal, tried }: { signal: AbortSignal; tried: { isPossiblyMade: boolean } },
  ): Promise<boolean> {
    const { catalogue, channel } = this.#options;
    await channel().led(signal);
    try {
      const { seq } = await unlessAborted(this.#atLeader(request, signal), signal);
      tried.isPossiblyMade = true;
      await catalogue.applied.reached(seq, signal);
      return true;
    } catch (error) {
      tried.isPossiblyMade ||= !isHarmless(error);
      const isPassing = error instanceof Refusal ? PASSING.includes(error.code) : isOfPeer(error);
      if (!isPassing || signal.aborted || channel().gone.aborted) throw error;
      return false;
    }
  }

  async #atLeader(request: CatalogueRequest, signal: AbortSignal): Promise<{ seq: number }> {
    const { channel, mesh, timeoutMs } = this.#options;
    if (channel().isLeading) return await this.#make(request);
    const leader = channel().member?.leader;
    if (leader === undefined) throw channel().notLeading();
    return valueOf(await mesh.request(leader, command.of(request), { timeoutMs, signal }));
  }

  /** Makes the change on the leader; where there is nothing to change, that is an answer too. */
  async #make(request: CatalogueRequest): Promise<{ seq: number }> {
    const { environment: { clock }, timeoutMs } = this.#options;
    if (this.#waiting >= WAITING_MAX) {
      throw new Refusal("backpressure", `${WAITING_MAX} changes of the catalogue wait already`);
    }
    const untilMs = clock.monotonic() + timeoutMs;
    this.#waiting++;
    const made = this.#changing.then(() => this.#makeNow(request, untilMs)).finally(() => this.#waiting--);
    this.#changing = made.catch(() => {});
    return await made;
  }

  async #makeNow(request: CatalogueRequest, untilMs: number): Promise<{ seq: number }> {
    const { catalogue, channel, environment: { clock } } = this.#options;
    // Whoever asked has been told that nothing has happened.
    await this.#settled(untilMs - clock.monotonic());
    const record = this.#recordOf(request, clock.now());
    if (!record) return { seq: catalogue.applied.value };
    const frames = frameUnplaced([utf8(JSON.stringify(record))]);
    const { lastSeq } = await channel().append({ frames, ack: "quorum" });
    return { seq: lastSeq };
  }

  /** A leader decides by all that its log says, and that counts once it is committed. */
  async #settled(leftMs: number): Promise<void> {
    const { catalogue, channel, environment: { clock } } = this.#options;
    const { log, gone, isLeading } = channel();
    if (!isLeading) throw channel().notLeading();
    const over = new AbortController();
    const cancel = clock.schedule(Math.max(0, leftMs), () => over.abort());
    const leave = () => over.abort();
    if (gone.aborted || leftMs <= 0) leave();
    gone.addEventListener("abort", leave, { once: true });
    try {
      over.signal.throwIfAborted();
      await catalogue.applied.reached(log.tail.nextSeq - 1, over.signal);
    } catch (cause) {
      throw new Refusal("no-leader", "the catalogue's leader cannot commit at this moment", {}, { cause });
    } finally {
      cancel();
      gone.removeEventListener("abort", leave);
    }
  }

  #recordOf(request: CatalogueRequest, at: number): CatalogueRecord | undefined {
    const { catalogue } = this.#options;
    const { name, incarnation } = request;
    const item = catalogue.item(name);
    if (request.op === "create") return this.#creationOf(request, item, at);
    if (item?.incarnation !== incarnation) {
      if (request.op === "delete" && catalogue.isDeleted(incarnation)) return undefined;
      throw new Refusal("unknown-channel", `there is no channel ${JSON.stringify(name)}`);
    }
    if (request.op === "delete") return { op: "delete", name, incarnation, at };
    const before = item.nodes ?? [this.#options.nodeId];
    const kept = before.filter((id) => id !== request.remove);
    const nodes = [...new Set(request.add === undefined ? kept : [...kept, request.add])].sort();
    if (item.nodes && nodes.join() === [...item.nodes].sort().join()) return undefined;
    return { op: "place", name, incarnation, nodes, at };
  }

  #creationOf(
    { name, incarnation, config, voters: asked }: CatalogueRequest & { op: "create" },
    item: CatalogueItem | undefined,
    at: number,
  ): CatalogueRecord | undefined {
    if (item) {
      if (item.incarnation === incarnation) return undefined;
      if (sameConfig(item.config, config) && sameVoters(item.voters, asked)) return undefined;
      const found = JSON.stringify({ ...item.config, voters: item.voters });
      throw new Refusal("channel-exists", `channel ${name} exists with another configuration: ${found}`);
    }
    const { channel, mesh, nodeId, catalogue } = this.#options;
    const isUp = (id: string) => id === nodeId || mesh.session(id) !== undefined;
    const membership = channel().member?.membership ?? { voters: [nodeId], observers: [] };
    const voters = chooseVoters(asked, { membership, isUp, items: catalogue.items });
    return { op: "create", name, incarnation, config, voters, at };
  }
}

/** Whether nothing has happened, and nothing will. */
function isHarmless(error: unknown): boolean {
  return error instanceof Refusal ? !["append-unknown", "append-timeout"].includes(error.code) : isUnsent(error);
}

/** Settles as `task`, or rejects with the signal's reason where that comes first. */
function unlessAborted<Value>(task: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abandon = () => reject(signal.reason);
    if (signal.aborted) abandon();
    signal.addEventListener("abort", abandon, { once: true });
    task.then(resolve, reject).finally(() => signal.removeEventListener("abort", abandon));
  });
}

function sameConfig(a: ChannelConfig, b: ChannelConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whoever does not ask for voters takes those that there are. */
function sameVoters(found: readonly string[] | undefined, asked: VotersRequest | undefined): boolean {
  if (asked === undefined) return true;
  if (typeof asked === "number") return asked === (found?.length ?? 1);
  return found !== undefined && [...found].sort().join() === [...asked].sort().join();
}
