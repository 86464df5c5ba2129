// What every transport holds when a session is opened: who gives up, gives up at once and leaves nothing behind.

import { afterEach, expect, test } from "bun:test";
import { Lane, type Session, SESSION_LIMITS } from "../../src/net/session.ts";
import { TransportError } from "../../src/net/transport_error.ts";
import { pattern, readExactly } from "../net/lane_bytes.ts";
import { Link } from "../net/link.node.ts";
import {
  type Listening,
  listenOn,
  type TestLimits,
  type TransportUnderTest,
} from "../net/transports/transport_under_test.ts";
import { rejection, settled, until, within } from "../net/wait.ts";

export function connectTests(transport: TransportUnderTest): void {
  const opened: { readonly listening: Listening; readonly link: Link }[] = [];

  async function listen(limits: TestLimits = {}) {
    const listening = await listenOn(transport, { closeGraceMs: 200, ...limits });
    const link = await Link.open(listening.listener);
    opened.push({ listening, link });
    return { listening, link };
  }

  afterEach(async () => {
    for (const { listening, link } of opened.splice(0)) {
      link.close();
      await listening.listener.close();
      await until(() => listening.admission.sessionCount === 0, "the places of all who came");
      expect(listening.errors).toEqual([]);
    }
  });

  test("with a signal that is aborted already, it rejects with the reason", async () => {
    const { listening } = await listen();
    const reason = new Error("no longer wanted");
    const connecting = transport.connect(listening.listener, {
      limits: SESSION_LIMITS,
      signal: AbortSignal.abort(reason),
    });
    expect(await rejection(connecting)).toBe(reason);
    expect(listening.sessions).toEqual([]);
  });

  test("aborted while nobody answers, it rejects with the reason at once", async () => {
    const { link } = await listen();
    link.freeze(true);
    const giveUp = new AbortController();
    const connecting = transport.connect(link.listener, { limits: SESSION_LIMITS, signal: giveUp.signal });
    connecting.catch(() => {});
    await settled(() => 0);
    const reason = new Error("no longer wanted");
    giveUp.abort(reason);
    expect(await rejection(connecting)).toBe(reason);
  });

  test("an abort after it has opened means nothing to the session", async () => {
    const { listening } = await listen();
    const giveUp = new AbortController();
    const client = await transport.connect(listening.listener, { limits: SESSION_LIMITS, signal: giveUp.signal });
    giveUp.abort(new Error("too late"));
    await until(() => listening.sessions.length === 1, "the server's session");
    await passBytes(client, listening.sessions[0]!);
    await client.close({ code: "done", reason: "" });
  });

  test("where nobody answers it gives up after handshakeGraceMs", async () => {
    const { link } = await listen();
    link.freeze(true);
    const error = await rejection(transport.connect(link.listener, {
      limits: { ...SESSION_LIMITS, handshakeGraceMs: 300 },
    }));
    expect(error).toBeInstanceOf(TransportError);
    expect((error as TransportError).code).toBe("timeout");
  });

  test("where nobody listens it is refused, or a timeout where the network does not tell", async () => {
    const { listening } = await listen();
    await listening.listener.close();
    const error = await rejection(transport.connect(listening.listener, {
      limits: { ...SESSION_LIMITS, handshakeGraceMs: 1000 },
    }));
    expect(error).toBeInstanceOf(TransportError);
    expect(["refused", "timeout"]).toContain((error as TransportError).code);
  });

  test("a listener that is full turns the next one away, and who is there stays", async () => {
    const { listening } = await listen({ sessionsMax: 1 });
    const first = await transport.connect(listening.listener, { limits: SESSION_LIMITS });
    await until(() => listening.sessions.length === 1, "the first session");
    const limits = { ...SESSION_LIMITS, handshakeGraceMs: 2000, idleTimeoutMs: 2000 };
    const second = await transport.connect(listening.listener, { limits }).catch((error: unknown) => error);
    // Where the transport opens before it is asked, the session that came of it is over soon.
    if (second instanceof Error) expect(second).toBeInstanceOf(TransportError);
    else await within((second as Session).closed, "the end of the second");
    expect(listening.sessions.length).toBe(1);
    await passBytes(first, listening.sessions[0]!);
    await first.close({ code: "done", reason: "" });
  });
}

async function passBytes(client: Session, server: Session): Promise<void> {
  for (const [from, to] of [[client, server], [server, client]] as const) {
    await from.lane(Lane.control).writable.getWriter().write(pattern(0, 10));
    await readExactly(to.lane(Lane.control).readable.getReader(), 10);
  }
}
