// Ports that a node can have again after it was killed.

import { createServer } from "node:net";
import { environment } from "../../src/server/environment.node.ts";

/**
 * Below the ports that the system gives to clients (Linux: 32768 and up): while a node is away, one of its own port would
 * sooner or later be the client's side of somebody's connection, and the node could not listen there again.
 */
const PORTS = { first: 21_000, count: 11_000 } as const;
const TRIES_MAX = 200;

/** `count` ports of loopback on which nobody listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  for (let tries = 0; found.size < count; tries++) {
    if (tries === TRIES_MAX) throw new Error(`no ${count} free ports after ${TRIES_MAX} tries`);
    const port = PORTS.first + Math.floor(environment.random.next() * PORTS.count);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
