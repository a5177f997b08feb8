import { setTimeout as pause } from 'node:timers/promises';
import type { Chance } from './chance.ts';
import { connectTo, type Link } from './connecting.ts';
import type { Device, Devices } from './devices.ts';
import type { Gateway } from './gateway.ts';
import type { Decision, Session } from './history.ts';

/** How long a device keeps its link, if it is let: some see a change or two, some many. */
const SHORTEST_STAY_MS = 500;
const LONGEST_STAY_MS = 12_000;

/** How long a device rests before it comes again: as the vendor's SDKs do at the first attempt, and spread. */
const SHORTEST_REST_MS = 50;
const LONGEST_REST_MS = 400;

/** The share of attempts with a secret that should be in force; the others show one that was. */
const RIGHT_SHARE = 0.8;

/** What the clients work with. */
export type ClientsOptions = {
  readonly devices: Devices;
  readonly gateways: readonly Gateway[];
  readonly chance: Chance;
  /** How many devices have one, from the first on. */
  readonly clients: number;
};

/** Real MQTT clients, one a device: they connect, stay for a while, and come back when they are sent away. */
export class Clients {
  readonly attempts: Decision[] = [];
  readonly sessions: Session[] = [];
  /** Attempts that were not granted, by what came instead, counted. */
  readonly details = new Map<string, number>();
  readonly #options: ClientsOptions;
  readonly #connecting = new Set<Promise<unknown>>();
  readonly #open = new Set<Link>();
  #failure: unknown;
  #isOn = true;

  constructor(options: ClientsOptions) {
    this.#options = options;
  }

  /** Begins. */
  start(): void {
    const { devices, clients } = this.#options;
    for (const device of devices.list.slice(0, clients)) {
      this.#live(device).catch((error: unknown) => {
        this.#failure ??= error;
      });
    }
  }

  /** From now on nobody connects, and whoever is connected stays. Resolves when every CONNECT has had its answer. */
  async settle(): Promise<void> {
    this.#isOn = false;
    await Promise.allSettled(this.#connecting);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Ends every link. */
  async stop(): Promise<void> {
    this.#isOn = false;
    await Promise.all([...this.#open].map((link) => link.end()));
  }

  /** One CONNECT with a secret of a device, kept as an attempt and, if it is granted, as a session. */
  async connect(device: Device, secret: number, index: number): Promise<Link | undefined> {
    const port = this.#options.gateways[index]?.port;
    if (port === undefined) return undefined;
    const { index: number, deviceId } = device;
    const text = this.#options.devices.secretOf(secret);
    const connecting = connectTo({ device: number, deviceId, gateway: index, port, secret, text });
    this.#connecting.add(connecting);
    const { attempt, detail, link } = await connecting.finally(() => this.#connecting.delete(connecting));
    this.attempts.push(attempt);
    if (link === undefined) this.details.set(detail, (this.details.get(detail) ?? 0) + 1);
    else this.#keep(link);
    return link;
  }

  #keep(link: Link): void {
    this.sessions.push(link.session);
    this.#open.add(link);
    void link.closed.then(() => this.#open.delete(link));
  }

  async #live(device: Device): Promise<void> {
    const { chance, gateways } = this.#options;
    let kept: number | undefined;
    while (this.#isOn) {
      const secret = kept ?? this.#pick(device);
      const link = secret === undefined ? undefined : await this.connect(device, secret, chance.below(gateways.length));
      const wasKicked = link !== undefined && (await this.#stay(link));
      // A device that was sent away comes back with what it has.
      kept = wasKicked ? secret : undefined;
      await pause(chance.between(SHORTEST_REST_MS, LONGEST_REST_MS));
    }
  }

  /** Keeps the link for a while; true: the gateway has ended it. */
  async #stay({ closed, end, session }: Link): Promise<boolean> {
    const stayMs = this.#options.chance.between(SHORTEST_STAY_MS, LONGEST_STAY_MS);
    await Promise.race([closed, pause(stayMs, undefined, { ref: false })]);
    if (this.#isOn) await end();
    return session.kicked;
  }

  #pick(device: Device): number | undefined {
    const { chance } = this.#options;
    const { PRIMARY, SECONDARY } = device.current;
    if (device.past.length > 0 && !chance.share(RIGHT_SHARE)) return chance.pick(device.past);
    return chance.share(0.5) ? (PRIMARY ?? SECONDARY) : (SECONDARY ?? PRIMARY);
  }
}
