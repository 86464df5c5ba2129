// What a cluster's log and what its producers were told say of each other.

/** What a producer remembers. Each of its payloads is `NAME NUMBER` and anything after a space, the numbers ascending. */
export interface ProducerAccount {
  readonly name: string;
  /** Payload of each acknowledged entry, by seq. */
  readonly acknowledged: ReadonlyMap<number, string>;
  /** Payloads that may be in the log although nobody said so. */
  readonly unknown: ReadonlySet<string>;
}

/**
 * What is wrong with a log, given from its first entry on, with undefined for entries that are not data: acknowledged entries that
 * are lost or elsewhere, entries that are there twice, of nobody, refused, or not in their producer's order.
 */
export function logFaults(log: readonly (string | undefined)[], accounts: readonly ProducerAccount[]): string[] {
  const faults: string[] = [];
  const seqs = new Map<string, number>();
  const byName = new Map(accounts.map((account) => [account.name, { account, told: told(account), lastNumber: -1 }]));
  for (const [index, payload] of log.entries()) {
    if (payload === undefined) continue;
    const seq = index + 1;
    const [name, number] = payload.split(" ", 2);
    const producer = byName.get(name!);
    if (!producer) faults.push(`entry ${seq} is of nobody: ${payload}`);
    else {
      if (seqs.has(payload)) faults.push(`entry ${seq} is entry ${seqs.get(payload)} again: ${payload}`);
      else if (Number(number) < producer.lastNumber) {
        faults.push(`entry ${seq} is out of its producer's order: ${payload}`);
      }
      producer.lastNumber = Math.max(producer.lastNumber, Number(number));
      const isAllowed = producer.told.has(payload) || producer.account.unknown.has(payload);
      if (!isAllowed) faults.push(`entry ${seq} was refused: ${payload}`);
    }
    seqs.set(payload, seq);
  }
  return [...faults, ...accounts.flatMap((account) => losses(log, account))];
}

function told({ acknowledged }: ProducerAccount): ReadonlySet<string> {
  return new Set(acknowledged.values());
}

function losses(log: readonly (string | undefined)[], { acknowledged }: ProducerAccount): string[] {
  const lost = [...acknowledged].filter(([seq, payload]) => log[seq - 1] !== payload);
  return lost.map(([seq, payload]) => `entry ${seq} was acknowledged as ${payload}, found is ${log[seq - 1]}`);
}
