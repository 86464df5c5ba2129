// A channel on a disk that fails: what an append is answered with.

import { describe, expect, test } from "bun:test";
import type { MemberEvent } from "../../src/core/replica_set.ts";
import { utf8 } from "../../src/lib/bytes.ts";
import { MemoryDisk } from "../../src/log/disk.memory.ts";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { openSegmentStore } from "../../src/log/segment_store.ts";
import { StoreError } from "../../src/log/store_error.ts";
import { channelConfig } from "../../src/schema/channel.ts";
import { Channel } from "../../src/server/channel.ts";
import { environment } from "../../src/server/environment.node.ts";
import { ReplicaSets } from "../../src/stream/replica_sets.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { eventually } from "../process/waiting.ts";
import { rejection } from "../net/wait.ts";

/** A channel of a node that is alone. */
async function aloneOn(disk: MemoryDisk) {
  let told = (_event: MemberEvent) => {};
  const store = await openSegmentStore({ disk, root: "data", environment });
  const sets = new ReplicaSets({
    nodeId: "a",
    environment,
    members: new MemoryMemberStore(),
    timing: { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 },
    entryBytesMax: 1 << 20,
    creditBytes: 1 << 20,
    onEvent: (_channel, event) => told(event),
    onError: () => {},
  });
  const log = await store.open("log");
  const member = await sets.join({ channel: "log", log, voters: ["a"], isNew: true });
  const channel = new Channel({
    name: "log",
    incarnation: "log",
    config: channelConfig.parse({}),
    log,
    member,
    nodeId: "a",
    environment,
    appendQueuedBytesMax: 1 << 20,
    appendTimeoutMs: 2_000,
    onDamaged: () => {},
    urlOf: () => null,
  });
  told = (event) => channel.told(event);
  await channel.led(new AbortController().signal);
  const close = async () => {
    await sets.close();
    await store.close();
  };
  return { channel, close };
}

const request = { ack: "quorum" as const };
const frames = () => frameUnplaced([utf8("entry")]);

describe("a channel of a node that is alone", () => {
  test("says that a full disk has taken nothing, and takes appends once there is room", async () => {
    const disk = new MemoryDisk();
    const { channel, close } = await aloneOn(disk);
    const { lastSeq } = await channel.append({ frames: frames(), ...request });
    disk.failNext("write", new StoreError("disk-full", "no room"));
    expect(await rejection(channel.append({ frames: frames(), ...request }))).toMatchObject({ code: "disk-full" });
    const next = await eventually("it leads again", () => {
      return channel.append({ frames: frames(), ...request }).catch(() => undefined);
    });
    // Nothing of the append that failed: only the first entry of the new epoch may be in between.
    expect(next.firstSeq - lastSeq).toBeLessThanOrEqual(2);
    expect(next.ack).toEqual({ requested: "quorum", achieved: "quorum", copies: 1, synced: 1 });
    await close();
  });

  test("does not know what became of an append after a failed sync, and takes none any more", async () => {
    const disk = new MemoryDisk();
    const { channel, close } = await aloneOn(disk);
    disk.failNext("sync");
    expect(await rejection(channel.append({ frames: frames(), ...request }))).toMatchObject({ code: "append-unknown" });
    expect(await rejection(channel.append({ frames: frames(), ...request }))).toMatchObject({ code: "fenced" });
    expect(channel.status()).toMatchObject({ role: "idle", fenced: expect.any(String) });
    await close().catch(() => {});
  });
});
