import { SettingsError } from '@latchkey/runtime';
import { developmentCertificates } from './certificates.ts';
import { makeDataDir } from './data-dir.ts';
import { type Endpoints, removeEndpoints, writeEndpoints } from './endpoints.ts';
import { createFleet, describeEnding, type Fleet, type Service } from './fleet.ts';
import { ingressCredential } from './ingress-credential.ts';
import type { Log } from './log.ts';
import { untilReady } from './readiness.ts';
import { DEFAULT_DATA_DIR, type Settings } from './settings.ts';
import type { StopSignals } from './signals.ts';
import { reachable, welcome } from './welcome.ts';

/** What a launch is given from outside. */
export type Outside = {
  /** Paths of the services' entry files. */
  readonly scripts: { readonly auth: string; readonly mqtt: string; readonly https: string; readonly coap: string };
  readonly log: Log;
  /** Writes to standard output. */
  readonly print: (text: string) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly signals: StopSignals;
};

/**
 * Runs all services until a signal, or until one of them ends, and stops the others. Gives the exit code: 0 stopped as
 * asked, 1 a service failed, 2 wrong settings.
 */
export async function launch(settings: Settings, outside: Outside): Promise<number> {
  const { log } = outside;
  const fleet = createFleet(log, outside.signals);
  const code = await run(settings, outside, fleet).catch((error: unknown) => {
    log.say('error', error instanceof Error ? error.message : String(error));
    return error instanceof SettingsError ? 2 : 1;
  });
  const clean = await fleet.stop();
  return code === 0 && !clean ? 1 : code;
}

async function run(settings: Settings, outside: Outside, fleet: Fleet): Promise<number> {
  const endpoints = await bringUp(settings, outside, fleet);
  if (endpoints !== undefined) await writeEndpoints(endpoints);
  try {
    if (endpoints !== undefined) outside.print(greeting(endpoints, settings));
    const ending = await fleet.over;
    if (ending === undefined) return 0;
    outside.log.say('error', describeEnding(ending));
    return ending.code === 2 ? 2 : 1;
  } finally {
    if (endpoints !== undefined) await removeEndpoints(settings.dataDir);
  }
}

/** Starts the services one after the other, until devices get in; undefined when a signal or the end of one came first. */
async function bringUp(settings: Settings, outside: Outside, fleet: Fleet): Promise<Endpoints | undefined> {
  const { dataDir, commonArgs } = settings;
  await makeDataDir(dataDir);
  const tls = await developmentCertificates(dataDir, outside.now());
  const auth = await fleet.start({
    name: 'auth',
    script: outside.scripts.auth,
    args: ['--data-dir', dataDir, ...settings.authArgs, ...commonArgs],
    fields: ['grpc', 'admin', 'token'],
  });
  if (auth === undefined) return undefined;
  const gatewayArgs = ['--auth', auth.grpc, '--tls-cert', tls.certificate, '--tls-key', tls.key, ...commonArgs];
  const mqtt = await startMqtt({ settings, outside, fleet, gatewayArgs });
  if (mqtt === undefined) return undefined;
  const { reportArgs, ...listeners } = mqtt;
  if (reportArgs === undefined) return { ...auth, ...listeners, dataDir };
  const reporting = [...reportArgs, ...gatewayArgs];
  const https = await startGateway(fleet, {
    name: 'https',
    script: outside.scripts.https,
    args: [...settings.httpsArgs, ...reporting],
    fields: ['https'],
  });
  if (https === undefined) return undefined;
  const coap = await startGateway(fleet, {
    name: 'coap',
    script: outside.scripts.coap,
    args: [...settings.coapArgs, ...reporting],
    fields: ['coaps'],
  });
  if (coap === undefined) return undefined;
  return { ...auth, ...listeners, ...https, ...coap, dataDir };
}

/** What the MQTT gateway needs. */
type Launching = {
  readonly settings: Settings;
  readonly outside: Outside;
  readonly fleet: Fleet;
  readonly gatewayArgs: readonly string[];
};

/** Starts the MQTT gateway with its own broker, or before another one; and tells how others reach that broker, if they can. */
async function startMqtt({ settings, outside, fleet, gatewayArgs }: Launching) {
  const { dataDir, upstream, mqttArgs } = settings;
  const service = { name: 'mqtt', script: outside.scripts.mqtt };
  if (upstream !== undefined) {
    const { url, reportArgs } = upstream;
    const args = [...mqttArgs, ...gatewayArgs];
    const mqtt = await startGateway(fleet, { ...service, args, fields: ['mqtt', 'mqtts'] });
    return mqtt && { ...mqtt, upstream: url, reportArgs };
  }
  const credential = await ingressCredential(dataDir);
  const args = [...mqttArgs, '--ingress-credential', credential, ...gatewayArgs];
  const mqtt = await startGateway(fleet, { ...service, args, fields: ['mqtt', 'mqtts', 'ingress'] });
  if (mqtt === undefined) return undefined;
  const reportArgs = ['--upstream', `mqtt://${reachable(mqtt.ingress)}`, '--upstream-credential', credential];
  return { ...mqtt, ingressCredential: credential, reportArgs };
}

/** Starts a gateway and waits until devices get in. */
async function startGateway<Field extends string>(fleet: Fleet, service: Service<Field>) {
  // Only the launcher reads its metrics, so they take whatever port is free.
  const args = [...service.args, '--metrics', '127.0.0.1:0'];
  const ready = await fleet.start<Field | 'metrics'>({ ...service, args, fields: [...service.fields, 'metrics'] });
  if (ready === undefined) return undefined;
  const { metrics, ...listeners } = ready;
  return (await untilReady(service.name, metrics, fleet.over)) ? listeners : undefined;
}

function greeting(endpoints: Endpoints, settings: Settings): string {
  if (settings.json) return `${JSON.stringify({ event: 'ready', ...endpoints })}\n`;
  return welcome(endpoints, settings.dataDir === DEFAULT_DATA_DIR);
}
