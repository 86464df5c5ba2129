// Two sessions connected in memory, for tests and the simulator: the multiplexer and its session are the real ones, only the
// wire between them is not. Everything that happens by chance or time comes from the environment.

import type { Environment } from "../../core/environment.ts";
import { MultiplexedSession } from "../multiplexed_session.ts";
import type { Session, SessionLimits } from "../session.ts";
import { MemoryLink } from "./memory_link.ts";

export interface MemorySessionOptions {
  readonly environment: Environment;
  readonly limits: SessionLimits;
  /** One-way time of each message, asked for each; order is kept. Default 0: within the same turn of the event loop. */
  readonly delayMs?: () => number;
  /** Share of datagrams that get lost, 0 to 1. Default 0. */
  readonly datagramLoss?: number;
  readonly clientAddress?: string;
  readonly serverAddress?: string;
}

/** Both ends of a connection in memory and the means to disturb it. */
export interface MemorySessionPair {
  readonly client: Session;
  readonly server: Session;
  /** The connection goes away for both ends: they end with code "lost". */
  cut(): void;
  /** Stops (or lets go on) what `side` sends, without either end being told. */
  stall(side: "client" | "server", isStalled: boolean): void;
}

/** A new pair of connected sessions. */
export function memorySessionPair(options: MemorySessionOptions): MemorySessionPair {
  const { environment, limits } = options;
  const newLink = (peerAddress: string) =>
    new MemoryLink({
      environment,
      peerAddress,
      delayMs: options.delayMs ?? (() => 0),
      datagramLoss: options.datagramLoss ?? 0,
    });
  const clientLink = newLink(options.serverAddress ?? "memory:server");
  const serverLink = newLink(options.clientAddress ?? "memory:client");
  const common = { transport: "memory", limits, environment } as const;
  const client = new MultiplexedSession({ ...common, side: "client", socket: clientLink });
  const server = new MultiplexedSession({ ...common, side: "server", socket: serverLink });
  clientLink.attach(serverLink, client);
  serverLink.attach(clientLink, server);
  return {
    client,
    server,
    cut: () => clientLink.cut("the connection was cut"),
    stall: (side, isStalled) => (side === "client" ? clientLink : serverLink).stall(isStalled),
  };
}
