// `millrace cert`: the certificates of a cluster, made and renewed without any other program. Files are replaced as a whole;
// keys are readable by their owner only.

import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AUTHORITY_DAYS, issueCertificate, type Issued, LEAF_DAYS, makeAuthority } from "../peer/authority.ts";
import { type CertificateFacts, certificateFacts } from "../peer/certificate_facts.ts";
import { environment } from "../server/environment.node.ts";
import { print, printJson, UsageError } from "./terminal.node.ts";

interface CertOptions {
  readonly dir: string;
  readonly days?: number;
  readonly json?: boolean;
}

interface NodeCertOptions extends CertOptions {
  readonly host?: readonly string[];
}

const NAME = /^[A-Za-z0-9_-]{1,64}$/;
const DAY_MS = 86_400_000;
const LOOPBACK_HOSTS = ["localhost", "127.0.0.1", "::1"];

/** `cert init`: `ca.pem` and `ca.key`. */
export async function initAuthority(options: CertOptions): Promise<void> {
  await mkdir(options.dir, { recursive: true });
  for (const file of ["ca.pem", "ca.key"]) {
    if (await exists(join(options.dir, file))) {
      throw new UsageError(`${join(options.dir, file)} is there already: renew it with \`cert rotate ca\``);
    }
  }
  const authority = await makeAuthority(
    `millrace ${environment.random.bytes(4).toHex()}`,
    context(options, AUTHORITY_DAYS),
  );
  await save(options, "ca", authority);
}

/** `cert node ID`: `ID.pem` and `ID.key`, for the hosts given besides loopback. */
export async function nodeCertificate(id: string, options: NodeCertOptions): Promise<void> {
  checkName(id);
  const hosts = [...new Set([...(options.host ?? []), ...LOOPBACK_HOSTS])];
  const authority = await readAuthority(options.dir);
  await save(options, id, await issueCertificate(authority, { kind: "node", name: id, hosts }, context(options)));
}

/** `cert client NAME`: `NAME.pem` and `NAME.key`, good to call a node with and never to be one. */
export async function clientCertificate(name: string, options: CertOptions): Promise<void> {
  checkName(name);
  const authority = await readAuthority(options.dir);
  await save(options, name, await issueCertificate(authority, { kind: "client", name, hosts: [] }, context(options)));
}

/**
 * `cert rotate NAME`: a new key and certificate in the place of the old ones, for the same name and hosts. `cert rotate ca`: a
 * new authority; `ca.pem` then holds the new certificate and, after it, the old one, so that both are accepted meanwhile.
 */
export async function rotateCertificate(name: string, options: CertOptions): Promise<void> {
  if (name === "ca") return await rotateAuthority(options);
  checkName(name);
  const old = await certificateFacts(await read(join(options.dir, `${name}.pem`)));
  if (old.kind !== "node" && old.kind !== "client") throw new UsageError(`${name}.pem is of no node or client`);
  const authority = await readAuthority(options.dir);
  const bearer = { kind: old.kind, name: old.name, hosts: old.hosts };
  await save(options, name, await issueCertificate(authority, bearer, context(options)));
}

async function rotateAuthority(options: CertOptions): Promise<void> {
  const { cert: oldCert } = await readAuthority(options.dir);
  const [latest] = certificatesOf(oldCert);
  const authority = await makeAuthority(
    `millrace ${environment.random.bytes(4).toHex()}`,
    context(options, AUTHORITY_DAYS),
  );
  await save(options, "ca", { cert: authority.cert.trimEnd() + "\n" + latest!, key: authority.key });
}

/** `cert retire`: takes the authority before the last rotation out of `ca.pem`. What it has signed is refused from then on. */
export async function retireAuthority(options: CertOptions): Promise<void> {
  const { cert, key } = await readAuthority(options.dir);
  const [latest, ...older] = certificatesOf(cert);
  if (older.length === 0) {
    throw new UsageError(`${join(options.dir, "ca.pem")} holds one authority: there is none to retire`);
  }
  await save(options, "ca", { cert: latest!, key });
}

/** `cert show FILE`: what each certificate of a file says. */
export async function showCertificates(file: string, options: { json?: boolean }): Promise<void> {
  const all = await Promise.all(certificatesOf(await read(file)).map((pem) => certificateFacts(pem)));
  for (const facts of all) {
    if (options.json) await printJson(described(facts));
    else await print(`${lines(facts)}\n`);
  }
}

function described(facts: CertificateFacts): Record<string, unknown> {
  const { notBefore, notAfter, ...others } = facts;
  return { ...others, notBefore: iso(notBefore), notAfter: iso(notAfter), daysLeft: daysLeft(facts) };
}

function lines(facts: CertificateFacts): string {
  const { kind, name, issuer, hosts, notBefore, notAfter, hash } = facts;
  const left = daysLeft(facts);
  return [
    `${kind} ${name}`,
    `  issued by  ${issuer}`,
    ...(hosts.length > 0 ? [`  hosts      ${hosts.join(", ")}`] : []),
    `  valid      ${iso(notBefore)} to ${iso(notAfter)} (${left < 0 ? "EXPIRED" : `${left} days left`})`,
    `  SHA-256    ${hash}`,
  ].join("\n");
}

function daysLeft({ notAfter }: CertificateFacts): number {
  return Math.floor((notAfter - environment.clock.now()) / DAY_MS);
}

function context({ days }: CertOptions, defaultDays = LEAF_DAYS) {
  return { clock: environment.clock, random: environment.random, days: days ?? defaultDays };
}

function checkName(name: string): void {
  if (NAME.test(name) && name !== "ca") return;
  throw new UsageError(`the name is ${JSON.stringify(name)}, allowed are 1 to 64 of A-Z a-z 0-9 _ -, and not "ca"`);
}

async function readAuthority(dir: string): Promise<Issued> {
  const [certFile, keyFile] = [join(dir, "ca.pem"), join(dir, "ca.key")];
  if (!await exists(certFile) || !await exists(keyFile)) {
    throw new UsageError(`${dir} has no ca.pem and ca.key: make them with \`cert init --dir ${dir}\``);
  }
  return { cert: await read(certFile), key: await read(keyFile) };
}

async function save(options: CertOptions, name: string, { cert, key }: Issued): Promise<void> {
  const [certFile, keyFile] = [join(options.dir, `${name}.pem`), join(options.dir, `${name}.key`)];
  await writeFile(`${keyFile}.draft`, key, { mode: 0o600 });
  await writeFile(`${certFile}.draft`, `${cert.trimEnd()}\n`, { mode: 0o644 });
  await rename(`${keyFile}.draft`, keyFile);
  await rename(`${certFile}.draft`, certFile);
  const { hash, notAfter } = await certificateFacts(cert);
  if (options.json) await printJson({ cert: certFile, key: keyFile, hash, notAfter: iso(notAfter) });
  else await print(`${certFile} and ${keyFile}, valid until ${iso(notAfter)}\n`);
}

async function read(file: string): Promise<string> {
  return await readFile(file, "utf8").catch((cause) => {
    throw new UsageError(`${file} cannot be read`, { cause });
  });
}

function certificatesOf(pem: string): string[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g);
  if (!found) throw new UsageError("there is no certificate in the file, PEM (BEGIN CERTIFICATE) is needed");
  return found;
}

async function exists(file: string): Promise<boolean> {
  return await stat(file).then(() => true, () => false);
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
