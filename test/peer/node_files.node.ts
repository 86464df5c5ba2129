// The files with which a node of a test cluster is started: its certificate, its key and the authority.

import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestCluster } from "./identities.ts";

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
