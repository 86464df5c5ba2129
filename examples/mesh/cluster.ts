// Certificates and addresses of a cluster on one machine. `millrace cert` makes the same files; see the README.

import { mkdtemp, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAuthority, createCertificate } from "../../src/mod.ts";

export interface ClusterFiles {
  readonly directory: string;
  readonly peers: { id: string; url: string }[];
  /** The part of a node's configuration that proves who it is, and whom it believes. */
  readonly certificates: (id: string) => { tlsCert: string; tlsKey: string; ca: string };
}

/** Makes an authority and a certificate for each node, and finds a port for each. */
export async function makeCluster(ids: readonly string[]): Promise<ClusterFiles> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-mesh-"));
  const file = (name: string) => join(directory, name);
  const authority = await createAuthority("example");
  await writeFile(file("ca.pem"), authority.cert);
  for (const name of ids) {
    const { cert, key } = await createCertificate(authority, { kind: "node", name, hosts: ["127.0.0.1"] });
    await writeFile(file(`${name}.pem`), cert);
    await writeFile(file(`${name}.key`), key, { mode: 0o600 });
  }
  const ports = await freePorts(ids.length);
  return {
    directory,
    peers: ids.map((id, index) => ({ id, url: `https://127.0.0.1:${ports[index]}` })),
    certificates: (id) => ({ tlsCert: file(`${id}.pem`), tlsKey: file(`${id}.key`), ca: file("ca.pem") }),
  };
}

/** Ports that nobody listens on now. All are held until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const listening = servers.map((server) => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve)));
  await Promise.all(listening);
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
