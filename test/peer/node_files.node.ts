// What a node of a test cluster is started with: files with its certificate, and ports that others know before it listens.

import { createSocket } from "node:dgram";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import type { TestCluster } from "./identities.ts";

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(resolve));
  return port;
}

/** The part of a configuration that names certificate, key and authority of node `id`, written to `directory`. */
export async function nodeFiles(
  cluster: TestCluster,
  id: string,
  directory: string,
): Promise<{ tlsCert: string; tlsKey: string; ca: string }> {
  const { cert, key } = await cluster.issue(id);
  const files = {
    tlsCert: join(directory, `${id}.pem`),
    tlsKey: join(directory, `${id}.key`),
    ca: join(directory, "ca.pem"),
  };
  await writeFile(files.tlsCert, cert);
  await writeFile(files.tlsKey, key);
  await writeFile(files.ca, cluster.authority.cert);
  return files;
}
