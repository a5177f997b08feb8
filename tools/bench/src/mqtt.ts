import { systemClock } from '@latchkey/kernel';
import { missingBrokers } from './brokers.ts';
import { type ByProcess, ratesOf, roundOf } from './by-process.ts';
import { timestampOf } from './devices.ts';
import { cpuUs, type Figure, type Findings, figureOf } from './measure.ts';
import { type Dial, visit } from './mqtt-client.ts';
import { type MqttSide, startSides } from './mqtt-sides.ts';
import { type Suite, sizeOf } from './plan.ts';

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
  const found = new Map(cases.map(({ name }) => [name, [] as ByProcess[]]));
  for (let round = 0; round < rounds; round++) {
    for (const it of cases) {
      const visits = await roundOf(it.side, (ms) => visitFor(it.side, it.dial, ms), roundMs);
      found.get(it.name)?.push(visits);
      plan.say(`mqtt: ${it.name} ${cpuUs(visits.round).toFixed(0)} us`);
    }
  }
  const figures = [...found].map(([name, visits]) => ratesOf(name, visits, 'connect'));
  const rates = Object.assign({}, ...figures, ...overOthers(found));
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

/** Our CPU time over that of the others, round by round. */
function overOthers(found: ReadonlyMap<string, readonly ByProcess[]>): readonly Record<string, Figure>[] {
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
