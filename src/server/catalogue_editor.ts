// Changes of the catalogue: asked for on any node, made by its leader in one order, seen by whoever asked when it is told.

import { type Environment, sleep } from "../core/environment.ts";
import { utf8 } from "../lib/bytes.ts";
import { type Deferred, deferred } from "../lib/deferred.ts";
import { Command, jsonCodec } from "../peer/command.ts";
import type { Mesh } from "../peer/mesh.ts";
import { isOfPeer } from "../peer/peer_error.ts";
import type { CatalogueRecord } from "../schema/channel.ts";
import { catalogueChanged, type CatalogueRequest, catalogueRequest, outcome } from "../schema/node_commands.ts";
import { frameUnplaced } from "../wire/stamp_run.ts";
import type { Catalogue } from "./catalogue.ts";
import { CatalogueDraft } from "./catalogue_draft.ts";
import type { Channel } from "./channel.ts";
import { isUnsent, type Outcome, outcomeOf, valueOf } from "./outcome.ts";
import { Refusal } from "./refusal.ts";

const command = new Command<CatalogueRequest, Outcome<{ seq: number }>>("millrace/catalogue", {
  value: jsonCodec(catalogueRequest),
  reply: jsonCodec(outcome(catalogueChanged)),
});

/** How soon a request is made again that met no leader. */
const RETRY_MS = 50;
/** Changes that may wait for their turn on the leader, and those that are made at one go. */
const WAITING_MAX = 1_024;
const TOGETHER_MAX = 128;
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

/** A change that waits for its turn. */
interface Waiting {
  readonly request: CatalogueRequest;
  /** Whoever asked does not wait longer. */
  readonly untilMs: number;
  readonly made: Deferred<{ seq: number }>;
}

export class CatalogueEditor {
  readonly #options: CatalogueEditorOptions;
  readonly #waiting: Waiting[] = [];
  #isMaking = false;

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
  #make(request: CatalogueRequest): Promise<{ seq: number }> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new Refusal("backpressure", `${WAITING_MAX} changes of the catalogue wait already`);
    }
    const { environment: { clock }, timeoutMs } = this.#options;
    const made = deferred<{ seq: number }>();
    this.#waiting.push({ request, untilMs: clock.monotonic() + timeoutMs, made });
    if (!this.#isMaking) void this.#makeAll();
    return made.promise;
  }

  /** All that wait together become one append. */
  async #makeAll(): Promise<void> {
    const { environment: { clock } } = this.#options;
    this.#isMaking = true;
    while (this.#waiting.length > 0) {
      try {
        await this.#settled(this.#waiting[0]!.untilMs - clock.monotonic());
      } catch (error) {
        // Without the others: they may have more time.
        this.#waiting.shift()!.made.reject(error);
        continue;
      }
      await this.#makeTogether(this.#waiting.splice(0, TOGETHER_MAX));
    }
    this.#isMaking = false;
  }

  /** Settles each of `waiting`. */
  async #makeTogether(waiting: readonly Waiting[]): Promise<void> {
    let left = waiting;
    try {
      const draft = this.#draft();
      left = waiting.filter((each) => isTaken(each, draft));
      const seq = await this.#append(draft.records);
      for (const { made } of left) made.resolve({ seq });
    } catch (error) {
      for (const { made } of left) made.reject(error);
    }
  }

  #draft(): CatalogueDraft {
    const { catalogue, channel, mesh, nodeId, environment: { clock } } = this.#options;
    const isUp = (id: string) => id === nodeId || mesh.session(id) !== undefined;
    const membership = channel().member?.membership ?? { voters: [nodeId], observers: [] };
    return new CatalogueDraft(catalogue, { membership, isUp, nodeId, now: clock.now() });
  }

  /** Answers up to where the catalogue must be applied for `records` to be seen. */
  async #append(records: readonly CatalogueRecord[]): Promise<number> {
    if (records.length === 0) return this.#options.catalogue.applied.value;
    const frames = frameUnplaced(records.map((record) => utf8(JSON.stringify(record))));
    return (await this.#options.channel().append({ frames, ack: "quorum" })).lastSeq;
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
}

/** Whether `draft` has the change now; whoever waits for one that it cannot have is told. */
function isTaken({ request, made }: Waiting, draft: CatalogueDraft): boolean {
  try {
    draft.take(request);
    return true;
  } catch (error) {
    made.reject(error);
    return false;
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
