import { crc32 as native } from "node:zlib";
import type { Crc32 } from "../core/environment.ts";

/** CRC-32/ISO-HDLC by the runtime's native function. */
export const crc32: Crc32 = native;
