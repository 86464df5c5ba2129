// What a test makes and has to clear away again: temporary directories, nodes in this process, anything else that ends.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNode, type MillraceNode, type NodeConfigInput } from "../../src/mod.ts";

/** Limits that let a test of the dull end finish soon; all else as it is by default. */
export const SOON = { closeGraceMs: 200, heartbeatMs: 500 } as const;

export interface RunningNode {
  readonly node: MillraceNode;
  readonly url: string;
  readonly port: number;
  readonly data: string;
}

export class Workbench {
  readonly #endings: (() => unknown)[] = [];

  /** `end` is called by `clear`, in the opposite order of the calls. */
  defer(end: () => unknown): void {
    this.#endings.push(end);
  }

  async directory(): Promise<string> {
    const path = await mkdtemp(join(tmpdir(), "millrace-test-"));
    this.defer(() => rm(path, { recursive: true, force: true }));
    return path;
  }

  /** A node in this process on a free port; in memory unless `data` or `store` says otherwise. */
  async node(config: NodeConfigInput = {}): Promise<RunningNode> {
    const store = config.store ?? (config.data === undefined ? "memory" : "segments");
    const data = config.data ?? await this.directory();
    const node = createNode({ port: 0, ...config, store, data, limits: { ...SOON, ...config.limits } });
    this.defer(() => node.close());
    await node.start();
    const { http: url } = node.status();
    return { node, url, port: Number(new URL(url).port), data };
  }

  async clear(): Promise<void> {
    for (const end of this.#endings.splice(0).reverse()) await end();
  }
}
