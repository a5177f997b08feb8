import { type ByProcess, ratesOf, roundOf, type Workers } from './by-process.ts';
import { CoapDevice, type Question, question } from './coap-device.ts';
import { CCM_8, type CoapSide, loginOf, startLibcoap, startOurs } from './coap-sides.ts';
import { deviceIdOf } from './devices.ts';
import { cpuUs, type Figure, type Findings, figureOf } from './measure.ts';
import { type Plan, type Suite, sizeOf } from './plan.ts';

const SIZES = {
  full: { devices: 64, perRound: 1_500, rounds: 9 },
  quick: { devices: 32, perRound: 400, rounds: 3 },
};

/** Fewer could not keep a server so busy that its CPU time can be counted. */
const MIN_DEVICES = 24;

/** A gateway's code is compiled in its first seconds. */
const WARM_UP_ROUNDS = 2;

/** Key exchanges: the one that the vendor's devices have, and one with forward secrecy. */
const HANDSHAKES = { psk: CCM_8, ecdhe_psk: 'TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256' } as const;

/** Both servers have this resource, and neither asks anybody for it. */
const DISCOVERY = question('.well-known/core');

/** Something to measure at one side, for so many milliseconds; answers how many operations it made. */
type Case = {
  /** Of the case, the same at each side. */
  readonly name: string;
  /** What one operation is. */
  readonly operation: string;
  readonly side: CoapSide;
  readonly beside: Workers['beside'];
  readonly load: (ms: number) => Promise<number>;
};

/**
 * Devices with pre-shared keys over DTLS: our gateway with its auth service beside libcoap's example server over OpenSSL, which
 * has the keys in memory. One client of our own for both, in this process: CPU time of the servers counts, and what happens in a
 * second is what that client gets, which shares the machine's cores with them.
 */
export const coapSuite: Suite = async (plan) => {
  const { devices: wanted, perRound: roundMs, rounds } = sizeOf(plan, SIZES);
  const devices = Math.max(wanted, MIN_DEVICES);
  plan.say(`coap: ${devices} devices, ${rounds} rounds of ${roundMs} ms for each case`);
  const [ours, libcoap] = [await startOurs(plan, devices), await startLibcoap(plan, devices)];
  const cases: Case[] = [];
  for (const side of [ours, libcoap]) if (side !== undefined) cases.push(...(await casesOf(plan, side, devices)));
  for (const { load } of cases) await load(roundMs * WARM_UP_ROUNDS);
  const found = new Map(cases.map((it) => [it, [] as ByProcess[]]));
  for (let round = 0; round < rounds; round++) {
    for (const it of cases) {
      const taken = await roundOf({ own: it.side.own, beside: it.beside }, it.load, roundMs);
      found.get(it)?.push(taken);
      plan.say(`coap: ${it.name} ${it.side.name} ${cpuUs(taken.round).toFixed(0)} us`);
    }
  }
  const figures = [...found].map(([{ name, side, operation }, taken]) =>
    ratesOf(`${name}_${side.name}`, taken, operation),
  );
  const rates = Object.assign({}, ...figures, overLibcoap(found));
  return { ratios: {}, rates, bars: barsOf(rates), absent: absentOf(ours, libcoap) };
};

/** What a reader calls the sides and the cases. */
const SIDES = { latchkey: 'gateway and auth service', libcoap: 'coap-server-openssl' } as const;
const HANDSHAKE_NAMES = { coap_psk: 'PSK, AES-CCM-8', coap_ecdhe_psk: 'ECDHE_PSK, ChaCha20' } as const;
const REQUEST_NAMES = { coap_discovery: 'GET /.well-known/core', coap_report: 'a report, on to a broker' } as const;

/** A plot for handshakes and one for requests. */
function barsOf(rates: Readonly<Record<string, Figure>>): NonNullable<Findings['bars']> {
  const plot = (title: string, operation: string, cases: Readonly<Record<string, string>>) => {
    const bars = Object.entries(cases).flatMap(([name, what]) =>
      Object.entries(SIDES).flatMap(([side, who]) => {
        const figure = rates[`${name}_${side}_cpu_us_per_${operation}`];
        return figure === undefined ? [] : [[`${what}: ${who}`, figure] as const];
      }),
    );
    return { title, axis: `CPU time of the servers, µs per ${operation}`, bars: Object.fromEntries(bars) };
  };
  return {
    coap_handshake_cpu: plot('A DTLS handshake, farewell included', 'handshake', HANDSHAKE_NAMES),
    coap_request_cpu: plot('A request within a session', 'request', REQUEST_NAMES),
  };
}

async function casesOf(plan: Plan, side: CoapSide, devices: number): Promise<readonly Case[]> {
  const handshakes = Object.entries(HANDSHAKES).map(([name, suite]) => {
    const load = (ms: number) => lanes(devices, ms, (index) => visit(side, suite, index));
    return { name: `coap_${name}`, operation: 'handshake', side, beside: {}, load };
  });
  const opening = Array.from({ length: devices }, (_, index) => CoapDevice.connect(side.port, CCM_8, loginOf(index)));
  const open = await Promise.all(opening);
  plan.processes.add(async () => {
    await Promise.all(open.map((device) => device.leave()));
  });
  const requests = (name: string, of: (index: number) => Question, beside: Workers['beside'] = {}): Case => {
    const load = (ms: number) => lanes(devices, ms, async (index) => open[index]?.ask(of(index)));
    return { name, operation: 'request', side, beside, load };
  };
  const discovery = requests('coap_discovery', () => DISCOVERY);
  const { broker } = side;
  if (broker === undefined) return [...handshakes, discovery];
  // What devices do most, which libcoap's server has nothing like: it goes on to a broker and waits for its word.
  const asked = Array.from({ length: devices }, (_, index) =>
    question(`v5/devices/${deviceIdOf(index)}/sys/messages/up`, 'hello'),
  );
  return [...handshakes, discovery, requests('coap_report', (index) => asked[index] ?? DISCOVERY, { broker })];
}

/** A handshake and a farewell. */
async function visit({ port }: CoapSide, suite: string, index: number): Promise<void> {
  const device = await CoapDevice.connect(port, suite, loginOf(index));
  await device.leave();
}

/** Every device does something again and again for so long; answers how often it was done. */
async function lanes(devices: number, ms: number, act: (index: number) => Promise<void>): Promise<number> {
  const endMs = performance.now() + ms;
  let count = 0;
  const lane = async (index: number) => {
    for (; performance.now() < endMs; count++) await act(index);
  };
  await Promise.all(Array.from({ length: devices }, (_, index) => lane(index)));
  return count;
}

/** Our CPU time over that of libcoap, round by round. */
function overLibcoap(found: ReadonlyMap<Case, readonly ByProcess[]>): Record<string, Figure> {
  const entries = [...found];
  return Object.fromEntries(
    entries.flatMap(([{ name, side }, ours]) => {
      const theirs = entries.find(([other]) => other.name === name && other.side !== side)?.[1];
      if (side.name !== 'latchkey' || theirs === undefined) return [];
      const values = theirs.map(({ round }, index) => cpuUs(ours[index]?.round ?? round) / cpuUs(round));
      return [[`${name}_latchkey_over_libcoap_cpu`, figureOf(values)]];
    }),
  );
}

function absentOf(ours: CoapSide | undefined, libcoap: CoapSide | undefined): Record<string, string> {
  return {
    ...(ours === undefined ? { coap_latchkey: 'no broker for its reports: install mosquitto' } : {}),
    ...(libcoap === undefined ? { coap_libcoap: 'coap-server-openssl is not installed: install libcoap3-bin' } : {}),
  };
}
