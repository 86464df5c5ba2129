import type { AttackName } from "../../net/hostile/attack_list.ts";
import type { Attack } from "./attack.ts";
import * as handshake from "./handshake_attacks.ts";
import * as message from "./message_attacks.ts";
import * as reading from "./reading_attacks.ts";

export const ATTACKS: Readonly<Record<AttackName, Attack>> = {
  "slow header": handshake.slowHeader,
  "slow hello": handshake.slowHello,
  "hello never sent": handshake.helloNeverSent,
  "tiny fragments without end": message.tinyFragments,
  "tiny slices on a lane that nobody reads": message.tinySlices,
  "declared length 2^63-1": message.declaredLength,
  "17 MiB frame": message.hugeFrame,
  "compressed frame": message.compressedFrame,
  "ten thousand lanes": message.tenThousandLanes,
  "lane opened twice": message.laneTwice,
  "datagram flood": message.datagramFlood,
  "handshake flood": handshake.handshakeFlood,
  "never reading": reading.neverReading,
  "never reading the answers": reading.neverReadingAnswers,
  "reading one byte a second": reading.readingSlowly,
  "opened and dropped in a loop": handshake.openedAndDropped,
  "goodbye storm": message.goodbyeStorm,
  "messages after goodbye": message.messagesAfterGoodbye,
};
