// Names of channels: 1 to 255 of `a-z A-Z 0-9 . _ - /`, no empty segment, no `..`. Names that begin with `_` are Millrace's own.

export const CHANNEL_NAME_BYTES_MAX = 255;
const ALLOWED = /^[a-zA-Z0-9._\-/]+$/;

/** Why `name` cannot name a channel; `undefined` where it can. */
export function channelNameFault(name: string): string | undefined {
  if (name.length === 0) return "a channel name has at least one character";
  if (name.length > CHANNEL_NAME_BYTES_MAX) {
    return `the name has ${name.length} characters, allowed are ${CHANNEL_NAME_BYTES_MAX}`;
  }
  if (!ALLOWED.test(name)) return `${JSON.stringify(name)} has other characters than a-z A-Z 0-9 . _ - /`;
  const segments = name.split("/");
  if (segments.includes("")) return `${JSON.stringify(name)} has an empty segment`;
  if (segments.includes("..") || segments.includes(".")) {
    return `${JSON.stringify(name)} has a segment that is only dots`;
  }
  return undefined;
}

/** Whether users may create, delete or append to a channel of this name. */
export function isSystemChannel(name: string): boolean {
  return name.startsWith("_");
}
