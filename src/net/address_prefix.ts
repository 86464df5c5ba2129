// Addresses of peers, as far as limits need them: who belongs together, and who is this machine.

const MAPPED_IPV4 = /^(?:0*:)*:?ffff:(\d+\.\d+\.\d+\.\d+)$/i;
const IPV6_GROUPS = 8;

/** Whether `address` is of this machine. */
export function isLoopbackAddress(address: string): boolean {
  const plain = withoutMapping(address);
  return /^127\.\d+\.\d+\.\d+$/.test(plain) || plain === "::1";
}

/** Whether `hostname`, as URLs have it, is of this machine. */
export function isLoopbackHost(hostname: string): boolean {
  return hostname === "localhost" || isLoopbackAddress(hostname.replace(/^\[|\]$/g, ""));
}

/** The network that `address` is counted with: IPv4 /24, IPv6 /56; what is no address stays as it is. */
export function addressPrefix(address: string): string {
  const plain = withoutMapping(address);
  const octets = plain.split(".");
  if (octets.length === 4) return `${octets.slice(0, 3).join(".")}.0/24`;
  if (plain.split(":").length < 3) return plain;
  const groups = ipv6Groups(plain);
  const lastByteless = (groups[3]! & 0xff00).toString(16);
  return `${groups.slice(0, 3).map((group) => group.toString(16)).join(":")}:${lastByteless}::/56`;
}

function withoutMapping(address: string): string {
  return MAPPED_IPV4.exec(address)?.[1] ?? address;
}

function ipv6Groups(address: string): number[] {
  const [head = "", tail] = address.split("%")[0]!.split("::");
  const left = groupsOf(head);
  if (tail === undefined) return padded(left, []);
  return padded(left, groupsOf(tail));
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => parseInt(group, 16) || 0);
}

function padded(left: number[], right: number[]): number[] {
  const missing = Math.max(0, IPV6_GROUPS - left.length - right.length);
  return [...left, ...new Array<number>(missing).fill(0), ...right];
}
