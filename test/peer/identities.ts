// Identities of nodes for tests, good and bad.

import type { Issued } from "../../src/peer/authority.ts";
import { issueCertificate, makeAuthority } from "../../src/peer/authority.ts";
import { type PeerIdentity, proofMeans } from "../../src/peer/peer_identity.ts";
import { Trust } from "../../src/peer/trust.ts";
import { environment } from "../../src/server/environment.node.ts";

const DAY_MS = 86_400_000;

export interface MadeOptions {
  /** Who signs; default: the cluster's authority. */
  readonly by?: Issued;
  /** Name in the certificate; default: the id. */
  readonly name?: string;
  /** When it was issued, in days from now, and for how many days it is valid. */
  readonly fromDays?: number;
  readonly days?: number;
  readonly kind?: "node" | "client";
  /** Ids that this node lets in; default: all. */
  readonly allowed?: readonly string[];
  readonly instance?: string;
}

/** Who a node is, and what it shows in a transport; without it a node that has no certificate. */
export interface TestIdentity extends PeerIdentity {
  readonly issued?: Issued;
}

export interface TestCluster {
  readonly authority: Issued;
  readonly foreign: Issued;
  /** Made once for the same options. */
  identity(id: string, options?: MadeOptions): Promise<TestIdentity>;
  /** Certificate and key in PEM, for transports. */
  issue(id: string, options?: MadeOptions): Promise<Issued>;
}

/** A cluster and a stranger's authority of the same name. */
export async function testCluster(): Promise<TestCluster> {
  const at = (fromDays: number, days: number) => ({
    clock: { ...environment.clock, now: () => Date.now() + fromDays * DAY_MS },
    random: environment.random,
    days,
  });
  const [authority, foreign] = [await makeAuthority("test", at(-10, 100)), await makeAuthority("test", at(-10, 100))];
  const issue = (id: string, { by = authority, name = id, fromDays = 0, days = 10, kind = "node" }: MadeOptions = {}) =>
    issueCertificate(by, { kind, name, hosts: ["localhost", "127.0.0.1"] }, at(fromDays, days));
  const make = async (id: string, options: MadeOptions): Promise<TestIdentity> => {
    const { allowed, instance = `${id}-1` } = options;
    const trust = new Trust({
      authorities: [authority.cert],
      now: () => Date.now(),
      ...(allowed ? { allowed: new Set(allowed) } : {}),
    });
    const issued = await issue(id, options);
    const proof = await proofMeans(issued, trust);
    return { id, instance, clusterId: "test", agent: "test", proof, issued };
  };
  const made = new Map<string, Promise<TestIdentity>>();
  const identity = (id: string, options: MadeOptions = {}): Promise<TestIdentity> => {
    const key = JSON.stringify([id, options]);
    const known = made.get(key) ?? make(id, options);
    made.set(key, known);
    return known;
  };
  return { authority, foreign, identity, issue };
}
