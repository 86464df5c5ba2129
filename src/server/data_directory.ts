// What a node finds in its data directory, or makes there: its logs and its identity.

import { getLogger } from "@logtape/logtape";
import { ulid } from "ulid";
import { NodeDisk } from "../log/disk.node.ts";
import type { LogStore } from "../log/log_store.ts";
import { MemoryStore } from "../log/memory_store.ts";
import { openSegmentStore } from "../log/segment_store.ts";
import type { NodeConfig } from "../schema/config.ts";
import { environment } from "./environment.node.ts";
import { readState, writeState } from "./state_file.node.ts";

const logger = getLogger(["millrace", "node"]);

/** The logs. @throws StoreError `locked` where another node has them. */
export async function openStore(config: NodeConfig): Promise<LogStore> {
  const { entryBytesMax } = config.limits;
  if (config.store === "memory") return new MemoryStore({ crc32: environment.crc32 });
  return await openSegmentStore({
    disk: new NodeDisk(),
    root: `${config.data}/channels`,
    environment,
    entryBytesMax,
    onNotice: (notice) => logger.warn("log {log}: {message}", { ...notice }),
  });
}

/** The node's id: the configured one, which must be the one the data directory was made with, or a new one. */
export async function nodeIdentity({ data, nodeId, store }: NodeConfig): Promise<string> {
  const { clock, random } = environment;
  if (store === "memory") return nodeId ?? ulid(clock.now(), () => random.next());
  const path = `${data}/node.json`;
  const known = (await readState(path) as { nodeId?: string } | undefined)?.nodeId;
  if (known !== undefined && nodeId !== undefined && known !== nodeId) {
    throw new RangeError(`nodeId: the data directory ${data} belongs to node ${known}, not to ${nodeId}`);
  }
  if (known !== undefined) return known;
  const made = nodeId ?? ulid(clock.now(), () => random.next());
  await writeState(path, { nodeId: made });
  return made;
}
