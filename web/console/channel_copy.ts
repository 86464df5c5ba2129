// This tab's replica of the chosen channel: opened near the end of the log, followed until the page chooses another one.

import { sleep } from "../../src/core/environment.ts";
import type { Entry } from "../../src/wire/frame.ts";
import { environment } from "../environment.web.ts";
import { type BrowserReplica, openReplica, type ReplicaStatus } from "../replica.ts";
import { ApiError, getChannel } from "./api.ts";

/** Entries before the commit position that a fresh copy begins with. */
const ENTRIES_BEFORE = 500;
const RETRY_MS = 1_000;

export interface ChannelCopyOptions {
  readonly channel: string;
  readonly onEntries: (batch: readonly Entry[]) => void;
  /** The copy will not go on by itself; `code` is that of the node's refusal. */
  readonly onFailure: (code: string, message: string) => void;
}

export class ChannelCopy {
  readonly channel: string;
  readonly #options: ChannelCopyOptions;
  readonly #closing = new AbortController();
  #replica: BrowserReplica | undefined;

  constructor(options: ChannelCopyOptions) {
    this.channel = options.channel;
    this.#options = options;
    void this.#run();
  }

  /** Undefined until the node told where the log ends. */
  get status(): ReplicaStatus | undefined {
    return this.#replica?.status;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#replica?.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    try {
      const commit = await this.#commit(signal);
      const from = Math.max(1, commit - ENTRIES_BEFORE);
      this.#replica = await openReplica({ channel: this.channel, from });
      for await (const batch of this.#replica.batches({ signal })) this.#options.onEntries(batch);
    } catch (error) {
      if (signal.aborted) return;
      const message = error instanceof Error ? error.message : String(error);
      this.#options.onFailure(error instanceof ApiError ? error.code : "failed", message);
    }
  }

  /** Commit position of the channel; a node that does not answer is asked again. */
  async #commit(signal: AbortSignal): Promise<number> {
    for (;;) {
      try {
        return (await getChannel(this.channel, signal)).commit;
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof ApiError) || error.status !== 0) throw error;
        await sleep(environment.clock, RETRY_MS, signal);
      }
    }
  }
}
