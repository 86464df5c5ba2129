// Messages of replica sets over the mesh: which lane they go by, what bounds them, and what a session's end means to them.

import { afterEach, describe, expect, test } from "bun:test";
import type { PeerPort } from "../../src/core/peer_port.ts";
import type { Entries, FeedAck, MemberMessage, VoteRequest } from "../../src/core/replica_set.ts";
import { deferred } from "../../src/lib/deferred.ts";
import { MemoryMemberStore } from "../../src/log/member_store.ts";
import { MemoryStore } from "../../src/log/memory_store.ts";
import { Lane, type LaneStream, type Session } from "../../src/net/session.ts";
import { MemberLanes, SMALL_BYTES_MAX } from "../../src/peer/member_lanes.ts";
import type { PeerError } from "../../src/peer/peer_error.ts";
import type { Replication } from "../../src/peer/replication.ts";
import { environment } from "../../src/server/environment.node.ts";
import { ReplicaSets } from "../../src/stream/replica_sets.ts";
import { frameUnplaced } from "../../src/wire/stamp_run.ts";
import { MeshRig, type RigNode } from "./mesh_rig.ts";

const channel = "01CHANNEL";
const end = { seq: 7, epoch: 3 };
const VOTE: VoteRequest = {
  type: "voteRequest",
  channel,
  epoch: 4,
  isPreVote: true,
  isTransfer: false,
  isDoubtful: true,
  end,
};
const SMALL: readonly Exclude<MemberMessage, Entries>[] = [
  VOTE,
  { type: "voteReply", channel, epoch: 4, isPreVote: true, isGranted: false, isDoubtful: false, everyone: [] },
  { type: "memberState", channel, epoch: 4, role: "leader", leader: "a", end, commit: 6 },
  { type: "feedRequest", channel, epoch: 4, requestId: 99, from: 8, epochBefore: 3, creditLimit: 1 << 20 },
  { type: "feedNack", channel, epoch: 4, requestId: 99, code: "diverged", seq: 5, epochAt: 2 },
  { type: "succeed", channel, epoch: 4 },
];
const ACK: FeedAck = {
  type: "feedAck",
  channel,
  epoch: 4,
  requestId: 99,
  writtenSeq: 9,
  syncedSeq: 8,
  commit: 7,
  creditLimit: 2 << 20,
};

function entries(byteLength: number): Entries {
  const frames = new Uint8Array(byteLength).fill(byteLength & 255);
  return { type: "entries", channel, epoch: 4, requestId: 99, from: 8, epochBefore: 3, end, commit: 6, frames };
}

class Recorder implements Replication {
  readonly entryBytesMax = 1 << 20;
  readonly happened: string[] = [];
  readonly received: MemberMessage[] = [];
  readonly ports = new Map<string, PeerPort>();
  beats = 0;

  connected(port: PeerPort): void {
    this.happened.push(`connected ${port.peerId}`);
    this.ports.set(port.peerId, port);
  }

  lost(peerId: string): void {
    this.happened.push(`lost ${peerId}`);
  }

  heard(): void {
    this.beats++;
  }

  receive(peerId: string, message: MemberMessage): void {
    this.happened.push(`${message.type} from ${peerId}`);
    this.received.push(message);
  }
}

let rig: MeshRig;
let state = 1;
function newRig(): MeshRig {
  state = 1;
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  return rig = new MeshRig({ random });
}

afterEach(() => rig.close());

async function pair(): Promise<{ a: RigNode; b: RigNode; ofA: Recorder; ofB: Recorder }> {
  newRig();
  const [ofA, ofB] = [new Recorder(), new Recorder()];
  const a = rig.add("a", ["b"], { replication: ofA });
  const b = rig.add("b", ["a"], { replication: ofB });
  a.mesh.start();
  b.mesh.start();
  await until(() => ofA.ports.size === 1 && ofB.ports.size === 1);
  return { a, b, ofA, ofB };
}

const disconnection = ({ events }: RigNode) => events.find(({ event }) => event === "disconnected");

async function until(condition: () => boolean): Promise<void> {
  for (let count = 0; !condition(); count++) {
    if (count > 20_000) throw new Error("the condition does not hold in time");
    await rig.clock.pass(1);
  }
}

describe("a session between nodes with replica sets", () => {
  test("carries all their messages, each kind of lane in its order", async () => {
    const { ofA, ofB } = await pair();
    const port = ofA.ports.get("b")!;
    for (const message of SMALL) port.send(message);
    port.send(ACK);
    const sent = [entries(0), entries(100), entries(500_000)];
    for (const message of sent) void port.sendEntries(message);
    await until(() => ofB.received.length === SMALL.length + 4);
    const ofControl = ofB.received.filter(({ type }) => type !== "entries" && type !== "feedAck");
    expect(ofControl).toEqual([...SMALL]);
    expect(ofB.received.filter(({ type }) => type === "feedAck")).toEqual([ACK]);
    expect(ofB.received.filter(({ type }) => type === "entries")).toEqual(sent);
    expect(port.peerId).toBe("b");
    expect(port.phi).toBeLessThan(1);
    await until(() => port.roundTripMs !== undefined);
  });

  test("brings nothing before it is the session with its peer, and all that was said from then on", async () => {
    newRig();
    const [ofA, ofB] = [new Recorder(), new Recorder()];
    ofA.connected = (port) => {
      Recorder.prototype.connected.call(ofA, port);
      for (const message of SMALL) port.send(message);
      void port.sendEntries(entries(10));
    };
    rig.add("a", ["b"], { replication: ofA }).mesh.start();
    rig.add("b", ["a"], { replication: ofB }).mesh.start();
    await until(() => ofB.received.length === SMALL.length + 1);
    expect(ofB.happened[0]).toBe("connected a");
  });

  test("tells of heartbeats, and once of its end", async () => {
    const { ofA, ofB } = await pair();
    const before = ofA.beats;
    await rig.clock.pass(1_000);
    expect(ofA.beats - before).toBeGreaterThanOrEqual(8);
    rig.cut("a", "b");
    await until(() => ofA.happened.includes("lost b") && ofB.happened.includes("lost a"));
    const stale = ofA.ports.get("b")!;
    stale.send(VOTE);
    await expect(stale.sendEntries(entries(10))).rejects.toThrow();
    rig.mend("a", "b");
    await until(() => ofA.happened.filter((what) => what === "connected b").length === 2);
    expect(ofA.happened).toEqual(["connected b", "lost b", "connected b"]);
  });

  test("ends where an entry is larger than any may be", async () => {
    const { ofA, ofB, a } = await pair();
    void ofA.ports.get("b")!.sendEntries(entries(2 << 20)).catch(() => {});
    await until(() => ofB.happened.includes("lost a"));
    expect(ofB.received).toEqual([]);
    await until(() => disconnection(a) !== undefined);
    expect(disconnection(a)).toMatchObject({ code: "message-too-large" });
  });

  test("ends where only one of the two nodes has replica sets and speaks of them", async () => {
    newRig();
    const ofA = new Recorder();
    const a = rig.add("a", ["b"], { replication: ofA });
    a.mesh.start();
    rig.add("b", ["a"]).mesh.start();
    await until(() => ofA.ports.size === 1);
    expect(ofA.happened).toEqual(["connected b"]);
    ofA.ports.get("b")!.send(VOTE);
    await until(() => ofA.happened.includes("lost b"));
    await until(() => disconnection(a) !== undefined);
    expect(disconnection(a)).toMatchObject({ code: "unexpected-message" });
  });
});

describe("MemberLanes", () => {
  test("ends the session of a peer that reads no small messages; entries wait for it", async () => {
    newRig();
    const stuck = deferred<void>();
    const lane = (): LaneStream => ({
      readable: new ReadableStream(),
      writable: new WritableStream({ write: () => stuck.promise }, { highWaterMark: 1 }),
    });
    const lanes = new Map([Lane.log, Lane.ack].map((each) => [each, lane()]));
    const broken: PeerError[] = [];
    let controlCount = 0;
    const port = new MemberLanes({
      session: { lane: (each: Lane) => lanes.get(each as 1)! } as unknown as Session,
      peerId: "b",
      sendControl: () => {
        controlCount++;
        return stuck.promise;
      },
      roundTripMs: () => 3,
      phi: () => 0.5,
      entryBytesMax: 1000,
      onMessage: () => {},
      onBroken: (error) => broken.push(error as PeerError),
    });
    let isSent = false;
    const sending = port.sendEntries(entries(600)).then(() => isSent = true);
    for (let count = 0; count < SMALL_BYTES_MAX / 30; count++) port.send(count % 2 ? ACK : VOTE);
    expect(broken.map(({ code }) => code)).toEqual(["backpressure"]);
    expect(controlCount).toBeLessThan(SMALL_BYTES_MAX / 60);
    await null;
    expect([isSent, port.roundTripMs, port.phi]).toEqual([false, 3, 0.5]);
    stuck.resolve();
    await sending;
    expect(isSent).toBe(true);
  });
});

async function member(id: string, ids: readonly string[]) {
  const errors: unknown[] = [];
  const sets = new ReplicaSets({
    nodeId: id,
    environment: { ...environment, clock: rig.clock },
    members: new MemoryMemberStore(),
    timing: { heartbeatMs: 100, electionMsMin: 300, electionMsMax: 600 },
    entryBytesMax: 1 << 20,
    creditBytes: 1 << 20,
    onEvent: () => {},
    onError: (error) => errors.push(error),
  });
  const log = await new MemoryStore({ crc32: environment.crc32 }).open(channel);
  const joined = await sets.join({ channel, log, voters: ids, isNew: false });
  const { mesh } = rig.add(id, ids.filter((other) => other !== id), { replication: sets });
  mesh.start();
  return { id, sets, member: joined, log, mesh, errors };
}

describe("replica sets over a mesh", () => {
  test("elect, replicate, and go on when the leader's node has gone", async () => {
    newRig();
    const ids = ["a", "b", "c"];
    const nodes = await Promise.all(ids.map((id) => member(id, ids)));
    const leader = () => nodes.find(({ member }) => member.isEstablished);
    await until(() => leader() !== undefined);
    const first = leader()!;
    const payloads = Array.from({ length: 50 }, (_, index) => new Uint8Array(20_000).fill(index));
    for (const payload of payloads) first.member.append(frameUnplaced([payload]));
    await until(() => nodes.every(({ member }) => member.commit.value === first.log.tail.nextSeq - 1));
    expect(new Set(nodes.map(({ log }) => log.tail.chain)).size).toBe(1);
    const beforeMs = rig.clock.monotonic();
    const closing = first.mesh.close();
    await until(() => nodes.some((node) => node !== first && node.member.isEstablished));
    expect(rig.clock.monotonic() - beforeMs).toBeLessThan(2_000);
    await closing;
    for (const { sets, errors } of nodes) {
      const stopping = sets.close();
      await rig.clock.pass(2_000);
      await stopping;
      expect(errors).toEqual([]);
    }
  });
});
