// CRC-32/ISO-HDLC of bytes that are put together, from the checksums of their parts: the checksum of AB is that of A, moved past
// as many zero bytes as B has, xor that of B. So a run of frames is verified by one call of the native function over all of it,
// beside what the frames' own checksum fields say it must be. Tables only; no byte of a payload is looked at here.

const POLYNOMIAL = 0xedb88320;
/** Lengths below 2^31 bytes. */
const LENGTH_BITS = 31;
/** One table has four parts, one for each byte of a checksum. */
const TABLE_SIZE = 4 * 256;

/** `SHIFTS` holds for each power of two what moving past so many zero bytes makes of each byte of a checksum. */
const SHIFTS = shiftTables();

/** The checksum `crc` of some bytes, moved past `byteLength` zero bytes (without the xor at both ends that the CRC has). */
export function crc32Shift(crc: number, byteLength: number): number {
  let shifted = crc;
  let at = 0;
  for (let left = byteLength; left !== 0; left >>>= 1, at += TABLE_SIZE) {
    if ((left & 1) === 0) continue;
    shifted = SHIFTS[at + (shifted & 0xff)]! ^ SHIFTS[at + 256 + ((shifted >>> 8) & 0xff)]! ^
      SHIFTS[at + 512 + ((shifted >>> 16) & 0xff)]! ^ SHIFTS[at + 768 + (shifted >>> 24)]!;
  }
  return shifted;
}

/** The checksum of bytes with the checksum `crc` and the four bytes of `word`, little-endian, after them. */
export function crc32Word(crc: number, word: number): number {
  // What moves a register past four zero bytes takes in the four bytes that are xored to it.
  const at = 2 * TABLE_SIZE;
  const register = ~crc ^ word;
  return ~(SHIFTS[at + (register & 0xff)]! ^ SHIFTS[at + 256 + ((register >>> 8) & 0xff)]! ^
    SHIFTS[at + 512 + ((register >>> 16) & 0xff)]! ^ SHIFTS[at + 768 + (register >>> 24)]!);
}

function shiftTables(): Int32Array {
  const tables = new Int32Array(LENGTH_BITS * TABLE_SIZE);
  for (let byte = 0; byte < 256; byte++) {
    for (let part = 0; part < 4; part++) tables[part * 256 + byte] = pastZeroByte(byte << (8 * part));
  }
  for (let at = TABLE_SIZE; at < tables.length; at += TABLE_SIZE) {
    for (let index = 0; index < TABLE_SIZE; index++) {
      const half = tables[at - TABLE_SIZE + index]!;
      const from = at - TABLE_SIZE;
      tables[at + index] = tables[from + (half & 0xff)]! ^ tables[from + 256 + ((half >>> 8) & 0xff)]! ^
        tables[from + 512 + ((half >>> 16) & 0xff)]! ^ tables[from + 768 + (half >>> 24)]!;
    }
  }
  return tables;
}

function pastZeroByte(register: number): number {
  let moved = register;
  for (let bit = 0; bit < 8; bit++) moved = (moved & 1) === 0 ? moved >>> 1 : (moved >>> 1) ^ POLYNOMIAL;
  return moved;
}
