import { parentPort, workerData } from 'node:worker_threads';
import type { ProxyOrder, ProxyReport } from './proxies.ts';
import { FaultProxy } from './proxy.ts';

const targets = workerData as readonly (readonly number[])[];
const proxies = await Promise.all(targets.map((ports) => FaultProxy.open(ports, Math.random)));

function obey(order: ProxyOrder): number {
  const proxy = proxies[order.proxy];
  if (proxy === undefined) throw new Error(`no proxy ${order.proxy}`);
  switch (order.act) {
    case 'SET':
      proxy.set(order.mode);
      return 0;
    case 'CUT':
      proxy.cut();
      return 0;
    case 'COUNT':
      return proxy.repliesWaiting;
    case 'RELEASE':
      proxy.releaseReplies(order.count);
      return 0;
    case 'AIM':
      proxy.aim(order.at, order.port);
      return 0;
  }
}

parentPort?.on('message', (order: ProxyOrder & { readonly number: number }) => {
  const report: ProxyReport = { number: order.number, result: obey(order) };
  parentPort?.postMessage(report);
});
parentPort?.postMessage({ ports: proxies.map((proxy) => proxy.ports) });
