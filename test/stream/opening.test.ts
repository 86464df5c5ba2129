import { describe, expect, test } from "bun:test";
import { concatBytes } from "../../src/lib/bytes.ts";
import { memorySessionPair } from "../../src/net/memory/memory_session.ts";
import { Lane, SESSION_LIMITS } from "../../src/net/session.ts";
import { openingOf } from "../../src/stream/opening.ts";
import { environment } from "../../src/server/environment.node.ts";
import { encodeMessage, type Message } from "../../src/wire/messages.ts";
import { pattern, readExactly } from "../net/lane_bytes.ts";
import { rejection } from "../net/wait.ts";

const HELLO: Message = { type: "hello", versionMin: 1, versionMax: 1, kind: "program", id: "a", agent: "", token: "" };
const PEER_HELLO: Message = {
  type: "peerHello",
  versionMin: 1,
  versionMax: 1,
  clusterId: "c",
  id: "a",
  expectedId: "",
  instance: "i",
  agent: "",
  nonce: new Uint8Array(32),
  serverHash: new Uint8Array(0),
  certificate: new Uint8Array(0),
};

function pair(handshakeGraceMs = 10_000) {
  const { client, server, cut } = memorySessionPair({ environment, limits: SESSION_LIMITS });
  const opening = openingOf(server, { clock: environment.clock, handshakeGraceMs });
  return { client, server, cut, opening, writer: client.lane(Lane.control).writable.getWriter() };
}

describe("the opening of a session", () => {
  for (const [kind, message] of [["replica", HELLO], ["peer", PEER_HELLO]] as const) {
    test(`tells a ${kind} by its first message, in one piece or byte by byte, and loses none of it`, async () => {
      for (const cutBytes of [1, 1000]) {
        const { client, opening, writer } = pair();
        const bytes = encodeMessage(message);
        for (let at = 0; at < bytes.length; at += cutBytes) await writer.write(bytes.slice(at, at + cutBytes));
        await writer.write(pattern(0, 500));
        const { kind: told, session } = await opening;
        const reader = session.lane(Lane.control).readable.getReader();
        const all = concatBytes([bytes, pattern(0, 500)]);
        expect([told, await readExactly(reader, all.length)]).toEqual([kind, all]);
        await client.close({ code: "done", reason: "" });
        expect((await reader.read()).done).toBe(true);
      }
    });
  }

  test("is over when the grace is, and what comes later is not lost", async () => {
    const { client, opening, writer } = pair(20);
    await writer.write(Uint8Array.of(1, 2));
    const { kind, session } = await opening;
    expect(kind).toBe("replica");
    const reader = session.lane(Lane.control).readable.getReader();
    expect(await readExactly(reader, 2)).toEqual(Uint8Array.of(1, 2));
    const next = readExactly(reader, 1);
    await writer.write(Uint8Array.of(3));
    expect(await next).toEqual(Uint8Array.of(3));
    await client.close({ code: "done", reason: "" });
  });

  test("is over when the session is, and says so to whoever reads", async () => {
    const { opening, cut } = pair();
    cut();
    const { kind, session } = await opening;
    expect([kind, (await session.closed).code]).toEqual(["replica", "lost"]);
    await rejection(session.lane(Lane.control).readable.getReader().read());
  });

  test("passes on what else the session is", async () => {
    const { client, server, opening, writer } = pair();
    await writer.write(encodeMessage(HELLO));
    const { session } = await opening;
    expect([session.side, session.transport, session.peerAddress, session.acceptedMs]).toEqual([
      "server",
      "memory",
      server.peerAddress,
      server.acceptedMs,
    ]);
    expect(session.lane(Lane.log)).toBe(server.lane(Lane.log));
    await session.close({ code: "done", reason: "bye" });
    expect(await client.closed).toMatchObject({ code: "done", reason: "bye" });
  });
});
