// Loads the native part of @moq/web-transport (0.1.4): QUIC and HTTP/3 in a prebuilt addon. The package's own JavaScript is
// left aside: it is TypeScript that Node does not run in node_modules, it copies every chunk and hides priorities.

import { createRequire } from "node:module";
import type { Capability } from "../capability.ts";
import { oneLine } from "./fails_package.node.ts";

const PACKAGE = "@moq/web-transport";

export interface MoqSendStream {
  write(data: Uint8Array): Promise<void>;
  finish(): Promise<void>;
  reset(code: number): Promise<void>;
  /** Larger is more urgent. */
  setPriority(priority: number): Promise<void>;
}

export interface MoqReceiveStream {
  /** `null` at the end of the stream. */
  read(bytesMax: number): Promise<Uint8Array | null>;
  stop(code: number): Promise<void>;
}

export interface MoqBidirectionalStream {
  takeSend(): MoqSendStream;
  takeRecv(): MoqReceiveStream;
}

export interface MoqSession {
  acceptBi(): Promise<MoqBidirectionalStream>;
  openBi(): Promise<MoqBidirectionalStream>;
  sendDatagram(data: Uint8Array): void;
  recvDatagram(): Promise<Uint8Array>;
  close(code: number, reason: string): void;
  closed(): Promise<{ closeCode: number; reason: string }>;
}

export interface MoqRequest {
  readonly url: Promise<string>;
  ok(): Promise<MoqSession>;
  reject(status: number): Promise<void>;
}

export interface MoqServer {
  /** `null` once the server is closed. */
  accept(): Promise<MoqRequest | null>;
  /**
   * Takes no more sessions; those that are open go on, and keep the port. While an `accept` waits, this holds up the process
   * until a session is asked for (seen with 0.1.4).
   */
  close(): void;
}

export interface MoqPackage {
  readonly NapiServer: { bind(address: string, cert: Uint8Array, key: Uint8Array): MoqServer };
  readonly NapiClient: {
    withSystemRoots(): MoqClient;
    withCertificateHashes(hashes: readonly Uint8Array[]): MoqClient;
    /** Trusts whoever answers. */
    disableVerify(): MoqClient;
  };
}

export interface MoqClient {
  connect(url: string, options: null): Promise<MoqSession>;
}

export interface LoadedMoq {
  readonly package: MoqPackage | undefined;
  readonly h3: Capability;
}

/** Loads the addon. Never throws: what cannot be loaded is said by the capability. */
export function loadMoq(): LoadedMoq {
  let entry: string;
  try {
    entry = import.meta.resolve(PACKAGE);
  } catch {
    return {
      package: undefined,
      h3: { isSupported: false, reason: `${PACKAGE} is not installed: npm install ${PACKAGE}` },
    };
  }
  try {
    const loaded = createRequire(entry)("../napi.cjs") as MoqPackage;
    return { package: loaded, h3: { isSupported: true } };
  } catch (error) {
    return { package: undefined, h3: { isSupported: false, reason: whyNot(error) } };
  }
}

/** The loader's message is about npm; what went wrong is in its cause. */
function whyNot(error: unknown): string {
  const causes: string[] = [];
  for (let each = error as Error | undefined; each && causes.length < 16; each = each.cause as Error | undefined) {
    causes.push(String(each.message));
  }
  const wanted = /version `(GLIBC_[0-9.]+)' not found/.exec(causes.join("\n"))?.[1];
  if (wanted) return `${PACKAGE} needs ${wanted.replace("GLIBC_", "glibc ")}, which this system does not have`;
  const isAbsent = (error as { code?: string }).code === "MODULE_NOT_FOUND";
  return isAbsent
    ? `${PACKAGE} is not installed: npm install ${PACKAGE}`
    : `${PACKAGE} does not load: ${oneLine(error)}`;
}
