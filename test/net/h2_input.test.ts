import { expect, test } from "bun:test";
import { H2Input } from "../../src/net/webtransport/fails_h2_input.node.ts";
import type { CapsuleParser } from "../../src/net/webtransport/fails_package.node.ts";

const [PEERS, OWN, PEERS_ONE_WAY, OWN_ONE_WAY] = [1n, 0n, 3n, 2n];

/** What holds the input of a server's session, above a parser that makes the stream that each byte names. */
function rig() {
  const made: bigint[] = [];
  const faults: string[] = [];
  const session = { state: "connecting" };
  const parser = {
    newStream: (id: bigint) => void made.push(id),
    parseData(data: Uint8Array) {
      for (const byte of data) this.newStream(BigInt(byte));
    },
  };
  const input = new H2Input({
    parser: parser as unknown as CapsuleParser,
    side: "server",
    state: () => session.state,
  });
  return { made, faults, session, parser, open: () => input.open(() => faults.push("fault")) };
}

test("what comes early waits, and is taken in before what comes later", () => {
  const { made, parser, open } = rig();
  parser.parseData(Uint8Array.of(1, 5));
  expect(made).toEqual([]);
  open();
  parser.parseData(Uint8Array.of(9));
  expect(made).toEqual([1n, 5n, 9n]);
});

test("more than 1 MiB that comes early is a fault, told as soon as somebody asks, and nothing of it is taken in", () => {
  const { made, faults, parser, open } = rig();
  for (let count = 0; count < 17; count++) parser.parseData(new Uint8Array(64 << 10).fill(1));
  open();
  parser.parseData(Uint8Array.of(1));
  expect([made, faults]).toEqual([[], ["fault"]]);
});

test("a peer makes streams for both directions; this side's own are made as well", () => {
  for (const [id, mayBe] of [[PEERS, true], [OWN, true], [OWN_ONE_WAY, true], [PEERS_ONE_WAY, false]] as const) {
    const { made, faults, parser, open } = rig();
    open();
    parser.parseData(Uint8Array.of(Number(id)));
    expect([id, made, faults]).toEqual([id, mayBe ? [id] : [], mayBe ? [] : ["fault"]]);
  }
});

test("after a fault and after the end nothing is taken in", () => {
  for (const state of ["connected", "closed", "failed"]) {
    const { made, faults, session, parser, open } = rig();
    open();
    session.state = state;
    if (state === "connected") parser.parseData(Uint8Array.of(Number(PEERS_ONE_WAY)));
    parser.parseData(Uint8Array.of(Number(PEERS)));
    expect([state, made, faults.length]).toEqual([state, [], state === "connected" ? 1 : 0]);
  }
});

test("a session that ends within what is taken in makes no more streams", () => {
  const { made, faults, session, parser, open } = rig();
  open();
  const { newStream } = parser;
  parser.newStream = (id) => {
    newStream(id);
    session.state = "closed";
  };
  parser.parseData(Uint8Array.of(1, 5));
  expect([made, faults]).toEqual([[1n], ["fault"]]);
});

test("what the parser throws is a fault of the peer", () => {
  const { faults, parser } = rig();
  parser.parseData = () => {
    throw new Error("no such stream");
  };
  const input = new H2Input({ parser: parser as unknown as CapsuleParser, side: "client", state: () => "connected" });
  input.open(() => faults.push("fault"));
  parser.parseData(Uint8Array.of(1));
  expect(faults).toEqual(["fault"]);
});
