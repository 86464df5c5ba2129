import { describe, expect, test } from "bun:test";
import { ReplicaMachine } from "../../src/core/replica.ts";

const START = { kind: "start", tail: { nextSeq: 5, epoch: 2 }, requestId: 77, incarnation: "A", ready: true } as const;

function streaming(): ReplicaMachine {
  const machine = new ReplicaMachine(1000);
  machine.step(START);
  machine.step({ kind: "accept", requestId: 77, from: 5, commit: 9 });
  return machine;
}

describe("ReplicaMachine", () => {
  test("asks for what follows its own tail, with credit for one window", () => {
    expect(new ReplicaMachine(1000).step(START)).toEqual([
      { kind: "request", requestId: 77, from: 5, lastEpoch: 2, incarnation: "A", creditLimit: 1000 },
    ]);
  });

  test("grants nothing before its log is open, and a window with the accept", () => {
    const machine = new ReplicaMachine(1000);
    const tail = { nextSeq: 0, epoch: 0 };
    expect(machine.step({ ...START, tail, incarnation: "", ready: false })[0]).toMatchObject({
      from: 0,
      creditLimit: 0,
    });
    expect(machine.step({ kind: "accept", requestId: 77, from: 30, commit: 40 })).toEqual([
      { kind: "streaming" },
      { kind: "ack", seq: 29, creditLimit: 1000 },
    ]);
  });

  test("drops answers to requests it did not make", () => {
    const machine = new ReplicaMachine(1000);
    machine.step(START);
    expect(machine.step({ kind: "accept", requestId: 78, from: 5, commit: 9 })).toEqual([]);
    expect(machine.step({ kind: "nack", requestId: 78, code: "diverged", detail: "" })).toEqual([]);
    expect(machine.state).toBe("requesting");
  });

  test("acks what is synced soon, and at once when a quarter of the window is free", () => {
    const machine = streaming();
    machine.step({ kind: "received", byteLength: 400 });
    expect(machine.step({ kind: "stored", byteLength: 100, syncedSeq: 4 })).toEqual([]);
    expect(machine.step({ kind: "ackDue" })).toEqual([]);
    expect(machine.step({ kind: "stored", byteLength: 50, syncedSeq: 5 })).toEqual([{ kind: "ackSoon" }]);
    expect(machine.step({ kind: "ackDue" })).toEqual([{ kind: "ack", seq: 5, creditLimit: 1150 }]);
    expect(machine.step({ kind: "ackDue" })).toEqual([]);
    expect(machine.step({ kind: "stored", byteLength: 100, syncedSeq: 5 })).toEqual([]);
    expect(machine.step({ kind: "stored", byteLength: 150, syncedSeq: 6 })).toEqual([
      { kind: "ack", seq: 6, creditLimit: 1400 },
    ]);
    expect(machine.step({ kind: "ackDue" })).toEqual([]);
  });

  test("refuses more than it granted", () => {
    const machine = streaming();
    expect(machine.step({ kind: "received", byteLength: 1000 })).toEqual([]);
    expect(machine.step({ kind: "received", byteLength: 1 })[0]).toMatchObject({
      kind: "refuse",
      code: "credit-exceeded",
    });
  });

  test("asks again after a refusal that passes, and not after one that stays", () => {
    const passing = streaming();
    expect(passing.step({ kind: "nack", requestId: 77, code: "channel-closed", detail: "x" })).toEqual([
      { kind: "retry", reason: "channel-closed: x" },
    ]);
    expect(passing.state).toBe("idle");
    const staying = streaming();
    expect(staying.step({ kind: "nack", requestId: 77, code: "diverged", detail: "y" })).toEqual([
      { kind: "fail", code: "diverged", detail: "y" },
    ]);
    expect(staying.step({ kind: "lost" })).toEqual([]);
    expect(staying.state).toBe("failed");
  });

  test("starts over from its tail after a lost session", () => {
    const machine = streaming();
    machine.step({ kind: "received", byteLength: 900 });
    machine.step({ kind: "lost" });
    expect(machine.step({ ...START, tail: { nextSeq: 8, epoch: 2 }, requestId: 78 })[0]).toMatchObject({
      from: 8,
      creditLimit: 1000,
    });
    expect(machine.step({ kind: "received", byteLength: 1000 })).toEqual([]);
  });
});
