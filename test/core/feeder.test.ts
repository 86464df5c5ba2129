import { describe, expect, test } from "bun:test";
import {
  FEEDER_ACTIVITY_TIMEOUT_MS,
  type FeederEffect,
  FeederMachine,
  type FeederRequest,
} from "../../src/core/feeder.ts";

const LOG = { incarnation: "A", firstSeq: 10, commit: 20, epochBefore: 2, lastEpoch: 3 };
const REQUEST: FeederRequest = { from: 15, lastEpoch: 2, incarnation: "A", creditLimit: 1000 };

function streaming(request: Partial<FeederRequest> = {}): FeederMachine {
  const machine = new FeederMachine(0);
  machine.step({ kind: "request", request: { ...REQUEST, ...request }, log: LOG }, 0);
  return machine;
}

function ask(request: Partial<FeederRequest>, log: Partial<typeof LOG> = {}): readonly FeederEffect[] {
  return new FeederMachine(0).step(
    { kind: "request", request: { ...REQUEST, ...request }, log: { ...LOG, ...log } },
    0,
  );
}

describe("FeederMachine", () => {
  test("accepts a replica that continues its own tail, and starts exactly there", () => {
    const machine = new FeederMachine(0);
    expect(machine.state).toBe("idle");
    expect(machine.step({ kind: "request", request: REQUEST, log: LOG }, 0)).toEqual([
      { kind: "accept", from: 15, firstSeq: 10, commit: 20 },
    ]);
    expect([machine.state, machine.sentSeq, machine.ackedSeq, machine.creditBytes]).toEqual([
      "streaming",
      14,
      14,
      1000,
    ]);
  });

  test("accepts a replica at the tail and one that has nothing", () => {
    expect(ask({ from: 21 })[0]!.kind).toBe("accept");
    expect(ask({ from: 10, lastEpoch: 0, incarnation: "" })[0]!.kind).toBe("accept");
  });

  test("refuses by name what cannot be fed", () => {
    expect(ask({ from: 9 })[0]).toMatchObject({ kind: "nack", code: "bad-range", seq: 10 });
    expect(ask({ from: 22 })[0]).toMatchObject({ kind: "nack", code: "diverged", seq: 21, epoch: 3 });
    expect(ask({ from: 22, incarnation: "", lastEpoch: 0 })[0]).toMatchObject({ code: "bad-range", seq: 21 });
    expect(ask({ incarnation: "B" })[0]).toMatchObject({ kind: "nack", code: "diverged" });
    expect(ask({ lastEpoch: 1 })[0]).toMatchObject({ kind: "nack", code: "diverged", seq: 14, epoch: 2 });
  });

  test("does nothing more after a refusal", () => {
    const machine = new FeederMachine(0);
    machine.step({ kind: "request", request: { ...REQUEST, from: 1 }, log: LOG }, 0);
    expect(machine.state).toBe("shutdown");
    expect(machine.step({ kind: "ack", seq: 14, creditLimit: 5000 }, 0)).toEqual([]);
  });

  test("moves acks and credit forward only", () => {
    const machine = streaming();
    machine.step({ kind: "sent", byteLength: 300, lastSeq: 18 }, 1);
    expect(machine.step({ kind: "ack", seq: 17, creditLimit: 1200 }, 2)).toEqual([
      { kind: "acked", seq: 17 },
      { kind: "credit", limit: 1200 },
    ]);
    expect(machine.step({ kind: "ack", seq: 16, creditLimit: 1100 }, 3)).toEqual([]);
    expect([machine.ackedSeq, machine.creditBytes]).toEqual([17, 900]);
  });

  test("refuses an ack for what was never sent, and changes nothing", () => {
    const machine = streaming();
    machine.step({ kind: "sent", byteLength: 300, lastSeq: 18 }, 1);
    expect(machine.step({ kind: "ack", seq: 19, creditLimit: 9999 }, 2)[0]).toMatchObject({
      kind: "refuse",
      code: "bad-ack",
    });
    expect([machine.ackedSeq, machine.creditLimit]).toEqual([14, 1000]);
  });

  test("counts lag in entries, bytes and time until everything committed is acked", () => {
    const machine = streaming();
    expect(machine.lagEntries).toBe(6);
    machine.step({ kind: "sent", byteLength: 200, lastSeq: 18 }, 100);
    machine.step({ kind: "sent", byteLength: 100, lastSeq: 20 }, 100);
    expect(machine.unackedBytes).toBe(300);
    machine.step({ kind: "ack", seq: 18, creditLimit: 1000 }, 150);
    expect([machine.lagEntries, machine.unackedBytes, machine.lagMs(200)]).toEqual([2, 100, 200]);
    machine.step({ kind: "ack", seq: 20, creditLimit: 1000 }, 250);
    expect([machine.lagEntries, machine.unackedBytes, machine.lagMs(300)]).toEqual([0, 0, 0]);
    machine.step({ kind: "commit", seq: 25 }, 400);
    expect([machine.lagEntries, machine.lagMs(450)]).toEqual([5, 50]);
  });

  test("gives up on a replica of which nothing is heard, and not before", () => {
    const machine = streaming();
    machine.step({ kind: "heard" }, 1000);
    expect(machine.step({ kind: "tick" }, 1000 + FEEDER_ACTIVITY_TIMEOUT_MS)).toEqual([]);
    expect(machine.step({ kind: "tick" }, 1001 + FEEDER_ACTIVITY_TIMEOUT_MS)[0]!.kind).toBe("end");
    expect(machine.state).toBe("shutdown");
  });
});
