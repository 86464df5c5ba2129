// Ports that a node can be given before it listens, and can have again after it was killed.

import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { environment } from "../../src/server/environment.node.ts";

/**
 * Below the ports that the system gives to clients, and to whoever listens on port 0 (Linux: 32768 and up): one of those would
 * sooner or later be taken by somebody else between the look and the node's start, or while the node is away.
 */
const PORTS = { first: 21_000, count: 11_000 } as const;
const TRIES_MAX = 200;

type Look = (port: number) => Promise<boolean>;

/** Ports that this process has given out: whoever has one need not listen on it yet. */
const given = new Set<number>();

/** A TCP port of loopback on which nobody listens now. */
export const freePort = () => free(isFreeTcp);

/** The same for UDP. */
export const freeUdpPort = () => free(isFreeUdp);

/** `count` TCP ports of loopback. */
export const freePorts = (count: number) => Promise.all(Array.from({ length: count }, freePort));

async function free(isFree: Look): Promise<number> {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const port = PORTS.first + Math.floor(environment.random.next() * PORTS.count);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port after ${TRIES_MAX} tries`);
}

function isFreeTcp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

function isFreeUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", () => resolve(false));
    socket.bind(port, "127.0.0.1", () => socket.close(() => resolve(true)));
  });
}
