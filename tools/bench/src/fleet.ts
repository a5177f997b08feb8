import { systemClock, systemRandom } from '@latchkey/kernel';
import { generateKeyLine, parseKeyring } from '@latchkey/store';
import { ACCESSES } from './access.ts';
import type { Curve } from './curve.ts';
import { timestampOf } from './devices.ts';
import { atEqualHits, type Pair } from './equal-hits.ts';
import { makeEmbeddedFleet } from './fleet-embedded.ts';
import { type Found, grown, type Size } from './fleet-growth.ts';
import { growFleets } from './fleet-records.ts';
import { startRedisFleet } from './fleet-redis.ts';
import { cpuUs, type Findings, figureOf, perSecond, ratioOf } from './measure.ts';
import { type Plan, type Suite, sizeOf } from './plan.ts';
import { whatLacks } from './room.ts';

/** The devices are those that the cache holds, the same for every fleet. */
const SIZES = {
  full: { devices: 50_000, perRound: 50_000, rounds: 9 },
  quick: { devices: 10_000, perRound: 15_000, rounds: 5 },
};

/** Fleets by name, each grown out of the one before. */
const FLEETS = [
  { name: '1k', devices: 1_000 },
  { name: '100k', devices: 100_000 },
  { name: '1m', devices: 1_000_000 },
  { name: '10m', devices: 10_000_000 },
] as const;

/** The fleet that larger ones are held against. */
const REFERENCE = { name: '100k', devices: 100_000 } as const;

/** What --quick does not leave out: in Redis, and in the embedded store. */
const QUICK = { inRedis: 1_000_000, embedded: 100_000 };

const AIM = { bound: 'at_most', value: 1.2 } as const;

/**
 * What a decision costs as the fleet grows and the cache does not, over Redis and over the embedded store, with devices
 * that ask by Zipf's law and with all alike. Then larger fleets against one of 100,000 with as many hits, in turns: CPU time
 * of the deciding process and of Redis together.
 */
export const fleetSuite: Suite = async (plan) => {
  const { devices: cached, perRound, rounds } = sizeOf(plan, SIZES);
  const keyring = parseKeyring(generateKeyLine('bench', systemRandom));
  const timestamp = timestampOf(systemClock.now());
  const [redis, reference] = [
    await startRedisFleet(plan.processes, keyring),
    await startRedisFleet(plan.processes, keyring),
  ];
  const embedded = await makeEmbeddedFleet(plan.processes, keyring);
  const small = { fleet: reference, devices: scaled(plan, REFERENCE) };
  await growFleets({ from: 0, to: small.devices }, keyring, [reference]);
  await reference.persist();
  const emptyBytes = await redis.client.info('used_memory');
  const growing = { keyring, timestamp, redis, embedded, emptyBytes, cached, perRound };
  const found: Found[] = [];
  const sizes: Size[] = [];
  const compared = new Map<string, readonly Pair[]>();
  const absent: Record<string, string> = {};
  let reached = 0;
  for (const fleet of FLEETS) {
    const devices = scaled(plan, fleet);
    const lacks = plan.quick && fleet.devices > QUICK.inRedis ? '--quick leaves it out' : whatLacks(devices - reached);
    if (lacks !== undefined) {
      absent[ratioName(fleet.name)] = lacks;
      break;
    }
    plan.say(`fleet: ${devices} devices, ${cached} of them cached`);
    const inBoth = !plan.quick || fleet.devices <= QUICK.embedded;
    const more = await grown(growing, { from: reached, to: devices }, inBoth);
    found.push(...more.found);
    sizes.push(...more.sizes);
    reached = devices;
    if (fleet.devices <= REFERENCE.devices) continue;
    const say = ({ a, b }: Pair) =>
      plan.say(`fleet: ${cpuUs(a).toFixed(2)} us, ${cpuUs(b).toFixed(2)} us in that of ${devices}`);
    const large = { fleet: redis, devices };
    compared.set(fleet.name, await atEqualHits({ small, large, cached, perRound, rounds, timestamp, say }));
  }
  return { ...findingsOf(compared), curves: { ...curvesOf(found), fleet_bytes: sizeCurve(sizes) }, absent };
};

function scaled({ scale }: Plan, { devices }: { readonly devices: number }): number {
  return Math.round(devices * scale);
}

function ratioName(fleet: string): string {
  return `fleet_${fleet}_over_${REFERENCE.name}`;
}

function findingsOf(compared: ReadonlyMap<string, readonly Pair[]>): Pick<Findings, 'ratios' | 'rates'> {
  const all = [...compared];
  const ratios = all.map(([name, pairs]) => {
    return [
      ratioName(name),
      ratioOf(
        pairs.map(({ a, b }) => cpuUs(b) / cpuUs(a)),
        AIM,
      ),
    ] as const;
  });
  const rates = all.map(
    ([name, pairs]) => [`fleet_${name}_cpu_us_per_decision`, figureOf(pairs.map(({ b }) => cpuUs(b)))] as const,
  );
  const every = all.flatMap(([, pairs]) => pairs);
  if (every.length === 0) return { ratios: {}, rates: {} };
  const hits = figureOf(every.flatMap(({ a, b }) => [a.hitShare * 100, b.hitShare * 100]));
  const reference = figureOf(every.map(({ a }) => cpuUs(a)));
  return {
    ratios: Object.fromEntries(ratios),
    rates: {
      [`fleet_${REFERENCE.name}_cpu_us_per_decision`]: reference,
      ...Object.fromEntries(rates),
      fleet_equal_hits_percent: hits,
    },
  };
}

function curvesOf(found: readonly Found[]): Readonly<Record<string, Curve>> {
  const lines = ['Redis', 'embedded'].flatMap((store) => ACCESSES.map((access) => ({ store, access })));
  const curve = (title: string, y: string, of: (one: Found) => number): Curve => ({
    ...{ title, x: 'devices', y },
    series: Object.fromEntries(
      lines.map(({ store, access }) => {
        const points = found.filter((one) => one.store === store && one.access === access);
        return [`${store}, ${access}`, points.map((one) => ({ x: one.devices, y: of(one) }))] as const;
      }),
    ),
  });
  return {
    fleet_cpu: curve('A decision as the fleet grows and the cache does not', 'CPU of the process, µs', cpuUs),
    fleet_rate: curve('Decisions as the fleet grows and the cache does not', 'decisions a second', perSecond),
    fleet_hits: curve(
      'Hits as the fleet grows and the cache does not',
      'records found in memory, %',
      ({ hits, operations }) => (100 * hits) / operations,
    ),
  };
}

function sizeCurve(sizes: readonly Size[]): Curve {
  const line = (store: Size['store']) =>
    sizes
      .filter((size) => size.store === store)
      .map(({ devices, bytesPerDevice }) => ({ x: devices, y: bytesPerDevice }));
  return {
    ...{ title: 'What a device takes as the fleet grows, index and log included', x: 'devices', y: 'bytes a device' },
    series: { Redis: line('Redis'), embedded: line('embedded') },
  };
}
