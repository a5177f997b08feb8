import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { ProxyMode } from './proxy.ts';

type Order =
  | { readonly act: 'SET'; readonly mode: ProxyMode }
  | { readonly act: 'CUT' | 'COUNT' }
  | { readonly act: 'RELEASE'; readonly count: number }
  | { readonly act: 'AIM'; readonly at: number; readonly port: number };

/** What the thread is told to do. */
export type ProxyOrder = Order & { readonly proxy: number };

/** What it answers. */
export type ProxyReport = { readonly number: number; readonly result: number };

/** The fault proxies of a run, in a thread of their own: load on the driver does not slow what passes. */
export class Proxies {
  /** The ports of each proxy, in the order of the targets. */
  readonly ports: readonly (readonly number[])[];
  readonly #worker: Worker;
  readonly #waiting = new Map<number, (result: number) => void>();
  #orders = 0;

  private constructor(worker: Worker, ports: readonly (readonly number[])[]) {
    this.#worker = worker;
    this.ports = ports;
    worker.on('message', ({ number, result }: ProxyReport) => {
      this.#waiting.get(number)?.(result);
      this.#waiting.delete(number);
    });
  }

  /** Starts a proxy for each of these lists of ports. */
  static async open(targets: readonly (readonly number[])[]): Promise<Proxies> {
    const worker = new Worker(new URL('./proxy-thread.ts', import.meta.url), { workerData: targets });
    const [{ ports }] = (await once(worker, 'message')) as [{ readonly ports: Proxies['ports'] }];
    return new Proxies(worker, ports);
  }

  /** Treats bytes so from now on. */
  async set(proxy: number, mode: ProxyMode): Promise<void> {
    await this.#order({ act: 'SET', mode, proxy });
  }

  /** Ends the proxy's connections. */
  async cut(proxy: number): Promise<void> {
    await this.#order({ act: 'CUT', proxy });
  }

  /** Chunks that wait for the replica on its connection that follows changes. */
  repliesWaiting(proxy: number): Promise<number> {
    return this.#order({ act: 'COUNT', proxy });
  }

  /** Lets the first `count` of those pass, and nothing that comes later. */
  async releaseReplies(proxy: number, count: number): Promise<void> {
    await this.#order({ act: 'RELEASE', proxy, count });
  }

  /** Has new connections to one of the proxy's ports lead to this one: its target was started again. */
  async aim(proxy: number, at: number, port: number): Promise<void> {
    await this.#order({ act: 'AIM', proxy, at, port });
  }

  /** Ends the thread and with it every connection. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  #order(order: ProxyOrder): Promise<number> {
    this.#orders += 1;
    const number = this.#orders;
    return new Promise((resolve) => {
      this.#waiting.set(number, resolve);
      this.#worker.postMessage({ ...order, number });
    });
  }
}
