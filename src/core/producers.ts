// What a log says of those who append to it exactly once.

/** One append of a producer. Appended again, it gives the same answer and no second entries. */
export interface ProducerTriple {
  /** 1 to 64 visible characters of ASCII. */
  readonly id: string;
  /** Number of the producer's life, 0 .. 2^53-1: a higher one shuts out those before. */
  readonly epoch: number;
  /** Number of the append in that epoch, from 0, without holes. */
  readonly seq: number;
}
