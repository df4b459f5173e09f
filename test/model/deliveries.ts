/**
 * The whole of a queue's history as sets: nothing acknowledged is lost, nothing comes that was not sent, nothing comes before
 * its delay is over, nor again after its acknowledgement or while it is hidden; groups keep their order, what was sent twice
 * under one id is one message, and what was delivered in vain is with the dead letters. Rules Q1 to Q9. For histories too long
 * to search; the queue must have been drained at the end.
 *
 * Source of the shape: the total-queue checker of Jepsen, in our own words.
 */
import type { AnyCall, Call, Violation } from "./history.ts";
import type { QueueInput, QueueOptions, QueueOutput } from "./models/queue.ts";

export interface DeliveryReport {
  violations: Violation[];
  /** Acknowledged sends. */
  sent: number;
  acknowledged: number;
  /** Delivered more than once, as is allowed after a timeout, a refusal or a lost answer. */
  repeated: number;
  /** Sends of unknown outcome that were delivered. */
  recovered: number;
  /** Found with the dead letters. */
  dead: number;
}

interface Delivery {
  message: string;
  receipt: string;
  call: AnyCall;
  /** Until when it was promised to stay hidden; ends early with a refusal. */
  hiddenUntil: number;
}

type QueueCall = Call<QueueInput, QueueOutput>;

/** `isBlocking`: a group delivers nothing while its first message is hidden. `dead`: what was found with the dead letters. */
export function checkDeliveries(
  calls: readonly QueueCall[],
  { isBlocking, deliveriesMax = Infinity }: QueueOptions,
  dead: readonly string[] = [],
): DeliveryReport {
  const violations: Violation[] = [];
  const broken = (rule: string, what: string, ...about: AnyCall[]): void =>
    void violations.push({ rule, what, calls: about });
  const sends = new Map(calls.flatMap((call) => (call.input.kind === "send" ? [[call.input.message, call]] : [])));
  const deliveries = deliveriesOf(calls).toSorted((a, b) => a.call.returnedAt - b.call.returnedAt);
  const byMessage = Map.groupBy(deliveries, ({ message }) => message);
  const byReceipt = new Map<string, Delivery>();
  const acks = new Map<string, QueueCall>();

  for (const delivery of deliveries) {
    const { message, receipt, call } = delivery;
    const send = sends.get(message);
    if (!send || send.outcome === "fail") broken("Q2", `"${message}" was delivered and never sent`, call);
    else if (send.calledAt > call.returnedAt) broken("Q2", `"${message}" was delivered before it was sent`, send, call);
    else if (send.input.kind === "send" && call.returnedAt < send.calledAt + (send.input.delayMs ?? 0))
      broken("Q5", `"${message}" was delivered before its delay was over`, send, call);
    const other = byReceipt.get(receipt);
    if (other) broken("Q4", `receipt "${receipt}" was given twice`, other.call, call);
    byReceipt.set(receipt, delivery);
  }
  for (const call of calls) {
    if (call.input.kind !== "ack" || !isDone(call)) continue;
    const delivery = byReceipt.get(call.input.receipt);
    if (!delivery) {
      broken("Q4", `a receipt that was never given acknowledged something`, call);
      continue;
    }
    const before = acks.get(delivery.message);
    if (before) broken("Q3", `"${delivery.message}" was acknowledged twice`, before, call);
    acks.set(delivery.message, call);
  }

  for (const [message, all] of byMessage) {
    const ack = acks.get(message);
    for (const [at, delivery] of all.entries()) {
      if (ack && delivery.call.calledAt > ack.returnedAt)
        broken("Q3", `"${message}" came again after its acknowledgement`, ack, delivery.call);
      const again = all.slice(at + 1).find(({ call }) => call.returnedAt < delivery.hiddenUntil);
      if (again) broken("Q4", `"${message}" came again while it was hidden`, delivery.call, again.call);
    }
    // Acknowledged by a receipt whose place another had taken before.
    if (!ack || ack.input.kind !== "ack") continue;
    const { receipt } = ack.input;
    const own = byReceipt.get(receipt)!;
    const later = all.find(({ call }) => call.calledAt > own.call.returnedAt && call.returnedAt < ack.calledAt);
    if (later) broken("Q4", `"${message}" was acknowledged by a stale receipt`, own.call, later.call, ack);
  }

  // Only an acknowledgement of unknown outcome may have taken a message with it: the drain brings back what was hidden.
  const maybeAcked = new Set(
    calls.flatMap(({ input, outcome }) => {
      const delivery = input.kind === "ack" && outcome === "unknown" ? byReceipt.get(input.receipt) : undefined;
      return delivery ? [delivery.message] : [];
    }),
  );
  for (const [message, send] of sends) {
    if (send.outcome !== "ok" || acks.has(message) || maybeAcked.has(message) || dead.includes(message)) continue;
    broken(
      "Q1",
      `"${message}" was never ${byMessage.has(message) ? "acknowledged, nor there at the end" : "delivered"}`,
      send,
    );
  }
  violations.push(...checkDead(dead, calls, byMessage, deliveriesMax), ...checkCounts(calls));
  for (const message of dead) if (acks.has(message)) broken("Q8", `"${message}" was acknowledged and is dead`);
  // A delivery that nobody saw may hide a message while others of its group go on.
  const unseen = isBlocking
    ? []
    : calls.filter(({ input, outcome }) => input.kind === "receive" && outcome === "unknown");
  violations.push(...checkGroups([...sends.values()], byMessage, unseen));

  if (!isBlocking) violations.push(...checkEmpty(calls, unseen, sends, byMessage));

  return {
    violations,
    sent: [...sends.values()].filter(({ outcome }) => outcome === "ok").length,
    acknowledged: acks.size,
    repeated: [...byMessage.values()].filter((all) => all.length > 1).length,
    recovered: [...sends].filter(([message, { outcome }]) => outcome === "unknown" && byMessage.has(message)).length,
    dead: dead.length,
  };
}

/** Who is dead is so once, and was delivered as often as may be; what nobody saw of that is among the receives without an answer. */
function checkDead(
  dead: readonly string[],
  calls: readonly QueueCall[],
  byMessage: ReadonlyMap<string, Delivery[]>,
  deliveriesMax: number,
): Violation[] {
  const unseen = calls.filter(({ input, outcome }) => input.kind === "receive" && outcome === "unknown").length;
  const missing = dead
    .map((message) => deliveriesMax - (byMessage.get(message)?.length ?? 0))
    .reduce((sum, count) => sum + Math.max(0, count), 0);
  const broken = (what: string, ...about: AnyCall[]): Violation => ({ rule: "Q8", what, calls: about });
  return [
    ...[...byMessage].flatMap(([message, all]) =>
      all.length > deliveriesMax
        ? [broken(`"${message}" was delivered ${all.length} times`, ...all.map(({ call }) => call))]
        : [],
    ),
    ...[...Map.groupBy(dead, (message) => message)].flatMap(([message, { length }]) =>
      length > 1 ? [broken(`"${message}" is dead ${length} times`)] : [],
    ),
    ...(missing > unseen ? [broken(`of the dead ${missing} deliveries were not seen, of all ${unseen}`)] : []),
  ];
}

function checkCounts(calls: readonly QueueCall[]): Violation[] {
  return calls.flatMap((call): Violation[] => {
    const { input, output } = call;
    if (input.kind === "resend" && output && "done" in output && !output.done)
      return [{ rule: "Q7", what: `"${input.message}" was sent again, and taken for new`, calls: [call] }];
    if (!output || !("stats" in output)) return [];
    const { sent, acked, dead, expired, purged, ready, delayed, blocked, inFlight } = output.stats;
    const accounted = acked + dead + expired + purged + ready + delayed + blocked + inFlight;
    return sent === accounted
      ? []
      : [{ rule: "Q9", what: `${sent} were sent, ${accounted} are known of`, calls: [call] }];
  });
}

function deliveriesOf(calls: readonly QueueCall[]): Delivery[] {
  const refusals = new Map(
    calls.flatMap((call) =>
      call.input.kind === "nack" && call.outcome !== "fail" ? [[call.input.receipt, call]] : [],
    ),
  );
  return calls.flatMap((call): Delivery[] => {
    const { input, output } = call;
    if (input.kind !== "receive" || output === null || !("delivery" in output) || output.delivery === null) return [];
    const { message, receipt } = output.delivery;
    const promised = call.calledAt + input.visibilityMs;
    return [{ message, receipt, call, hiddenUntil: Math.min(promised, refusals.get(receipt)?.calledAt ?? Infinity) }];
  });
}

/** Nobody was told that there is nothing while something certainly lay there, sent and never seen by anybody. */
function checkEmpty(
  calls: readonly QueueCall[],
  unseen: readonly QueueCall[],
  sends: ReadonlyMap<string, QueueCall>,
  byMessage: ReadonlyMap<string, Delivery[]>,
): Violation[] {
  const untouched = [...sends].flatMap(([message, send]) => {
    if (send.input.kind !== "send" || send.outcome !== "ok") return [];
    const firstAt = Math.min(...(byMessage.get(message) ?? []).map(({ call }) => call.calledAt));
    return [{ send, topic: send.input.topic, until: Math.min(firstAt, ...unseen.map(({ calledAt }) => calledAt)) }];
  });
  return calls.flatMap((call): Violation[] => {
    const { input, output, calledAt, returnedAt } = call;
    if (input.kind !== "receive" || !output || !("delivery" in output) || output.delivery !== null) return [];
    const lying = untouched.find(
      ({ send, topic, until }) => topic === input.topic && send.returnedAt < calledAt && until > returnedAt,
    );
    return lying ? [{ rule: "Q1", what: "nothing was there, it said", calls: [lying.send, call] }] : [];
  });
}

const isDone = ({ output }: QueueCall): boolean => output !== null && "done" in output && output.done;

/** Of two messages of a group the one that was certainly sent first is first delivered first. */
function checkGroups(
  sends: readonly QueueCall[],
  byMessage: ReadonlyMap<string, Delivery[]>,
  unseen: readonly QueueCall[],
): Violation[] {
  const violations: Violation[] = [];
  const groups = Map.groupBy(sends, ({ input }) => (input.kind === "send" ? `${input.topic} ${input.group}` : ""));
  for (const members of groups.values()) {
    const delivered = members.flatMap((send) => {
      const first = send.input.kind === "send" ? byMessage.get(send.input.message)?.[0] : undefined;
      return first ? [{ send, first }] : [];
    });
    // By the call of the first delivery; whoever was sent before must not be delivered after somebody's was answered.
    for (const later of delivered) {
      if (unseen.some(({ calledAt }) => calledAt < later.first.call.returnedAt)) continue;
      const earlier = delivered.find(
        ({ send, first }) => send.returnedAt < later.send.calledAt && first.call.calledAt > later.first.call.returnedAt,
      );
      if (!earlier) continue;
      violations.push({
        rule: "Q6",
        what: `"${later.first.message}" came before "${earlier.first.message}", which was sent before it`,
        calls: [earlier.send, later.send, later.first.call, earlier.first.call],
      });
    }
  }
  return violations;
}
