// Connections that have not sent a request yet, on runtimes that show when they came (Node and Deno).

import { describe, expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { Arrivals, TLS_HANDSHAKES_MAX } from "../../src/net/websocket/arrivals.node.ts";
import { HandClock } from "../process/hand_clock.ts";

class FakeSocket extends EventEmitter {
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort: number;
  isDestroyed = false;

  constructor(remotePort: number) {
    super();
    this.remotePort = remotePort;
  }

  destroy(): void {
    this.isDestroyed = true;
    this.emit("close");
  }
}

function arriving({ isSecure }: { isSecure: boolean }) {
  const clock = new HandClock(1000);
  const arrivals = new Arrivals({ clock, graceMs: 100, isSecure });
  let port = 0;
  const arrive = () => {
    const socket = new FakeSocket(++port);
    arrivals.add(socket as unknown as Socket);
    return socket;
  };
  const taken = (socket: FakeSocket) => arrivals.take(socket as unknown as Socket);
  const secured = (socket: FakeSocket) => arrivals.secured(socket as unknown as Socket);
  return { clock, arrivals, arrive, taken, secured };
}

describe("connections that have just arrived", () => {
  test("are ended when no request has come within the grace, TLS or not, each at its own time", () => {
    const { clock, arrive, secured } = arriving({ isSecure: true });
    const early = arrive();
    clock.moveTo(1060);
    const late = arrive();
    secured(early);
    clock.moveTo(1099);
    expect([early.isDestroyed, late.isDestroyed]).toEqual([false, false]);
    clock.moveTo(1101);
    expect([early.isDestroyed, late.isDestroyed]).toEqual([true, false]);
    clock.moveTo(1161);
    expect(late.isDestroyed).toBe(true);
    expect(clock.timerCount).toBe(0);
  });

  test("tell when they came with their first request, and stay from then on", () => {
    const { clock, arrive, taken } = arriving({ isSecure: false });
    const socket = arrive();
    clock.moveTo(1050);
    expect([taken(socket), taken(socket)]).toEqual([1000, undefined]);
    clock.moveTo(1500);
    expect(socket.isDestroyed).toBe(false);
    expect(clock.timerCount).toBe(0);
  });

  test("are bounded in number while they shake hands: the oldest gives way", () => {
    const { arrivals, arrive, secured } = arriving({ isSecure: true });
    const done = arrive();
    secured(done);
    const sockets = Array.from({ length: TLS_HANDSHAKES_MAX + 3 }, arrive);
    expect(arrivals.securingCount).toBe(TLS_HANDSHAKES_MAX);
    expect(sockets.map(({ isDestroyed }) => isDestroyed).lastIndexOf(true)).toBe(2);
    expect(done.isDestroyed).toBe(false);
  });

  test("leave nothing behind when they go, or when the listener closes", () => {
    const { clock, arrivals, arrive } = arriving({ isSecure: true });
    arrive().destroy();
    expect(arrivals.securingCount).toBe(0);
    const waiting = arrive();
    arrivals.close();
    expect(waiting.isDestroyed).toBe(true);
    expect([arrivals.securingCount, clock.timerCount]).toEqual([0, 0]);
  });
});
