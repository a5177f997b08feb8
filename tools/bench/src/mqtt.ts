import { systemClock } from '@latchkey/kernel';
import { missingBrokers } from './brokers.ts';
import { timestampOf } from './devices.ts';
import { cpuUs, type Figure, type Findings, figureOf, perSecond, type Round } from './measure.ts';
import { type Dial, visit } from './mqtt-client.ts';
import { type Counted, type MqttSide, startSides } from './mqtt-sides.ts';
import { type Suite, sizeOf } from './plan.ts';
import { serverRound } from './server-round.ts';

const SIZES = {
  full: { devices: 500, perRound: 1_500, rounds: 9 },
  quick: { devices: 200, perRound: 500, rounds: 4 },
};

/** Devices that connect at the same time; never one of them twice. */
const IN_FLIGHT = 32;

/** A gateway's code is compiled in its first seconds. */
const WARM_UP_ROUNDS = 2;

const TRANSPORTS = { mqtt: 'plain', mqtts: 'tls' } as const;

/** What a reader calls the sides. */
const SIDES = {
  embedded: 'gateway with its own broker, and auth service',
  front_door: 'gateway before Mosquitto, and auth service',
  mosquitto: 'Mosquitto with a password file',
  rabbitmq: 'RabbitMQ with users of its own',
} as const;

/** One side over one transport. */
type Case = { readonly name: string; readonly side: MqttSide; readonly dial: Dial };

/** CPU time of all that the side's figure sums up, and of each process by name. */
type Visits = { readonly round: Round; readonly byProcess: Readonly<Record<string, Round>> };

/**
 * Devices that connect by MQTT and leave at once: the gateway with its own broker and as a front door of Mosquitto,
 * each with the auth service, beside Mosquitto with a password file and RabbitMQ with users of its own. CPU time of
 * the servers for each visit, handshake and farewell included; visits in a second are what this one client gets,
 * which shares the machine's cores with them.
 */
export const mqttSuite: Suite = async (plan) => {
  const { devices, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  plan.say(`mqtt: ${devices} devices, ${rounds} rounds of ${roundMs} ms for each side`);
  const sides = await startSides(plan, Math.max(devices, IN_FLIGHT), timestampOf(systemClock.now()));
  const cases = Object.entries(TRANSPORTS).flatMap(([prefix, transport]) =>
    sides.map((side) => ({ name: `${prefix}_${side.name}`, side, dial: side[transport] })),
  );
  for (const { side, dial } of cases) await visitFor(side, dial, roundMs * WARM_UP_ROUNDS);
  const found = new Map(cases.map(({ name }) => [name, [] as Visits[]]));
  for (let round = 0; round < rounds; round++) {
    for (const it of cases) {
      const visits = await visitsOf(it, roundMs);
      found.get(it.name)?.push(visits);
      plan.say(`mqtt: ${it.name} ${cpuUs(visits.round).toFixed(0)} us`);
    }
  }
  const rates = Object.assign({}, ...[...found].map(ratesOf), ...overOthers(found));
  return { ratios: {}, rates, bars: barsOf(rates), absent: missingBrokers() };
};

/** A plot for each transport. */
function barsOf(rates: Readonly<Record<string, Figure>>): NonNullable<Findings['bars']> {
  const plots = Object.entries({ mqtt: 'MQTT in the clear', mqtts: 'MQTT over TLS' }).map(([prefix, way]) => {
    const bars = Object.entries(SIDES).flatMap(([side, name]) => {
      const figure = rates[`${prefix}_${side}_cpu_us_per_connect`];
      return figure === undefined ? [] : [[name, figure] as const];
    });
    const axis = 'CPU time of the servers, µs per connection: in, welcome, out';
    return [`${prefix}_cpu`, { title: `A device comes and goes by ${way}`, axis, bars: Object.fromEntries(bars) }];
  });
  return Object.fromEntries(plots);
}

/** Figures of one case, named by it. */
function ratesOf([name, visits]: readonly [string, readonly Visits[]]): Record<string, Figure> {
  const processes = Object.keys(visits[0]?.byProcess ?? {});
  const shares = processes.length === 1 ? [] : processes;
  const shareOf = (of: string) => visits.map(({ byProcess }) => cpuUs(byProcess[of] ?? missing(of)));
  return {
    [`${name}_cpu_us_per_connect`]: figureOf(visits.map(({ round }) => cpuUs(round))),
    ...Object.fromEntries(shares.map((of) => [`${name}_${of}_cpu_us_per_connect`, figureOf(shareOf(of))])),
    [`${name}_connects_per_s`]: figureOf(visits.map(({ round }) => perSecond(round))),
  };
}

/** Our CPU time over that of the others, round by round. */
function overOthers(found: ReadonlyMap<string, readonly Visits[]>): readonly Record<string, Figure>[] {
  const pairs = Object.keys(TRANSPORTS).flatMap((prefix) =>
    ['embedded', 'front_door'].flatMap((ours) => ['mosquitto', 'rabbitmq'].map((other) => ({ prefix, ours, other }))),
  );
  return pairs.flatMap(({ prefix, ours, other }) => {
    const [a, b] = [found.get(`${prefix}_${ours}`), found.get(`${prefix}_${other}`)];
    if (a === undefined || b === undefined) return [];
    const values = a.map(({ round }, index) => cpuUs(round) / cpuUs(b[index]?.round ?? missing(other)));
    return [{ [`${prefix}_${ours}_over_${other}_cpu`]: figureOf(values) }];
  });
}

async function visitsOf({ side, dial }: Case, ms: number): Promise<Visits> {
  const own = Object.values(side.own);
  const each = Object.entries<Counted>({ ...side.own, ...side.beside });
  const before = each.map(([, process]) => process.cpuUs());
  const sum = { cpuUs: () => own.reduce((total, process) => total + process.cpuUs(), 0) };
  const round = await serverRound(sum, (forMs) => visitFor(side, dial, forMs), ms);
  const used = each.map(([name, process], index) => {
    return [name, { ...round, cpuUs: process.cpuUs() - (before[index] ?? 0) }] as const;
  });
  return { round, byProcess: Object.fromEntries(used) };
}

/** Visits for so many milliseconds; answers how many. Each lane has devices of its own. */
async function visitFor({ packets }: MqttSide, dial: Dial, ms: number): Promise<number> {
  const endMs = performance.now() + ms;
  let visits = 0;
  const lane = async (first: number) => {
    for (let index = first; performance.now() < endMs; visits++) {
      await visit(dial, packets[index] ?? Buffer.alloc(0));
      index = index + IN_FLIGHT < packets.length ? index + IN_FLIGHT : first;
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, (_, index) => lane(index)));
  return visits;
}

function missing(what: string): never {
  throw new Error(`${what} has no round`);
}
