import { describe, expect, test } from "bun:test";
import { addressPrefix, isLoopbackAddress } from "../../src/net/address_prefix.ts";
import { Admission, ADMISSION_LIMITS, type AdmissionLimits, type Admitted } from "../../src/net/admission.ts";
import { HandClock } from "../process/hand_clock.ts";

function gate(limits: Partial<AdmissionLimits>) {
  const clock = new HandClock(0);
  return { clock, admission: new Admission({ limits: { ...ADMISSION_LIMITS, ...limits }, clock }) };
}

/** The place of a peer that must get one. */
function admitted(admission: Admission, address?: string): Admitted {
  const place = admission.admit(address);
  if ("refusal" in place) throw new Error(place.refusal.reason);
  return place.admitted;
}

function refusal(admission: Admission, address?: string): string | undefined {
  const place = admission.admit(address);
  return "refusal" in place ? place.refusal.code : undefined;
}

describe("admission", () => {
  test("lets as many sessions in as allowed, and another when one has left", () => {
    const { admission } = gate({ sessionsMax: 2 });
    const first = admitted(admission, "10.0.0.1");
    admitted(admission, "10.0.1.1");
    expect(refusal(admission, "10.0.2.1")).toBe("too-many-sessions");
    first.release();
    first.release();
    expect(admission.sessionCount).toBe(1);
    admitted(admission, "10.0.2.1");
    expect(refusal(admission)).toBe("too-many-sessions");
  });

  test("counts a prefix by itself, and loopback not at all", () => {
    const { admission } = gate({ sessionsPerPrefixMax: 1 });
    const first = admitted(admission, "10.0.0.1");
    expect(refusal(admission, "10.0.0.200")).toBe("too-many-sessions-of-prefix");
    expect(refusal(admission, "::ffff:10.0.0.7")).toBe("too-many-sessions-of-prefix");
    for (const address of ["10.0.1.1", "127.0.0.1", "127.0.0.1", "::1", "::1"]) admitted(admission, address);
    first.release();
    admitted(admission, "10.0.0.200");
  });

  test("judges an address that is known only later", () => {
    const { admission } = gate({ sessionsPerPrefixMax: 1 });
    const [first, second] = [admitted(admission), admitted(admission)];
    expect([first.located("2001:db8::1"), second.located("2001:db8::2")?.code]).toEqual([
      undefined,
      "too-many-sessions-of-prefix",
    ]);
    first.release();
    expect([second.located("2001:db8::2"), refusal(admission, "2001:db8::3")]).toEqual([
      undefined,
      "too-many-sessions-of-prefix",
    ]);
    second.release();
    expect(admission.sessionCount).toBe(0);
  });

  test("has a bound for handshakes at one time, whose place is free once they are over", () => {
    const { admission } = gate({ handshakesMax: 1 });
    const first = admitted(admission);
    expect(refusal(admission)).toBe("too-many-handshakes");
    first.opened();
    first.opened();
    expect(admission.handshakeCount).toBe(0);
    admitted(admission).release();
    expect([admission.handshakeCount, admission.sessionCount]).toEqual([0, 1]);
  });

  test("allows a burst of handshakes, then as many a second as it says", () => {
    const { admission, clock } = gate({ handshakesPerSecond: 10, handshakeBurst: 3 });
    for (let count = 0; count < 3; count++) admitted(admission).release();
    expect(refusal(admission)).toBe("too-many-handshakes");
    clock.moveTo(99);
    expect(refusal(admission)).toBe("too-many-handshakes");
    clock.moveTo(100);
    admitted(admission);
    expect(refusal(admission)).toBe("too-many-handshakes");
    clock.moveTo(60_000);
    for (let count = 0; count < 3; count++) admitted(admission);
    expect(refusal(admission)).toBe("too-many-handshakes");
  });
});

describe("address prefixes", () => {
  const PREFIXES: readonly (readonly [address: string, prefix: string])[] = [
    ["192.0.2.77", "192.0.2.0/24"],
    ["::ffff:192.0.2.77", "192.0.2.0/24"],
    ["0:0:0:0:0:ffff:192.0.2.77", "192.0.2.0/24"],
    ["2001:db8:1:2ff::1", "2001:db8:1:200::/56"],
    ["2001:db8:1:0200:3:4:5:6", "2001:db8:1:200::/56"],
    ["fe80::1%eth0", "fe80:0:0:0::/56"],
    ["::", "0:0:0:0::/56"],
    ["memory:client", "memory:client"],
    ["", ""],
  ];

  test("are /24 of IPv4 and /56 of IPv6, however they are written", () => {
    expect(PREFIXES.map(([address]) => addressPrefix(address))).toEqual(PREFIXES.map(([, prefix]) => prefix));
  });

  test("loopback is this machine, also mapped into IPv6", () => {
    const [yes, no] = [["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"], ["128.0.0.1", "::2", "127.evil.org", ""]];
    expect([yes.map(isLoopbackAddress), no.map(isLoopbackAddress)]).toEqual([yes.map(() => true), no.map(() => false)]);
  });
});
