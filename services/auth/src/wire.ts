import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DEFAULT_SETTINGS, type TokenKeys } from '@latchkey/credential';
import { systemClock, systemRandom } from '@latchkey/kernel';
import { CertificateService, CredentialService, DeviceService } from '@latchkey/protocol/v1';
import type { ServerOptions } from '@latchkey/rpc';
import { createRegistry, formatAddress, type Log, type Registry, type Running, SettingsError } from '@latchkey/runtime';
import { checkKeys, KeyMismatch, type Keyring, openEmbeddedStore, type Store } from '@latchkey/store';
import { openRedisStore, RedisUrlError } from '@latchkey/store-redis';
import { mintToken, Verifier } from '@latchkey/verifier';
import { listenForOperators } from './admin-listener.ts';
import { authenticationService, createDecide } from './authentication.ts';
import { certificateService } from './certificates.ts';
import type { Config } from './config.ts';
import { credentialService } from './credentials.ts';
import { startCrlWatch } from './crl-watch.ts';
import { noteDecisions } from './decision-times.ts';
import { deviceService } from './devices.ts';
import { codeOf, failureLog, logging, translate } from './errors.ts';
import { listenForGateways } from './gateway-listener.ts';
import { loadKeys, reloadKeys } from './keys.ts';
import { cacheMetrics, callMetrics, decisionMetrics, gatewayGauges, storeMetrics, timed } from './metrics.ts';
import { prepareToken } from './operator.ts';
import { probesOf } from './probes.ts';
import { type LiveKeyring, liveKeyring, resealAll, rotate } from './rotation.ts';
import { decidesForMost, tellServing } from './serving.ts';
import { createStreams } from './stream.ts';
import { startSweeper } from './sweeper.ts';
import { tokenKeys } from './token-keys.ts';
import { createWatch } from './watch.ts';
import type { Seat } from './workers/seat.ts';

/** How long calls under way may go on once the service stops: a gateway's own deadline is shorter. */
const DRAIN_MS = 3_000;

/** Enough to tell the processes of a fleet apart. */
const REPLICA_ID_BYTES = 12;

const clock = systemClock;
const random = systemRandom;

/**
 * Builds the auth service from top to bottom and starts it, alone or as one of several workers. Rejects with a
 * SettingsError when the settings cannot be.
 */
export async function startAuth(config: Config, log: Log, seat?: Seat): Promise<Running> {
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const { store: opened, live } = await openWithKeys(config, log);
  const registry = createRegistry('auth', seat && { worker: String(seat.number) });
  const store = timed(registry, opened, clock);
  const renew = config.newOperatorToken;
  const token = await prepareToken({ store, dataDir: config.dataDir, random, renew });
  log.info({ origin: token.origin, file: token.file }, 'operator token');

  const observe = callMetrics(registry);
  const keys = tokenKeys(live.keyring);
  const { verifier, noted } = makeVerifier(config, store, keys, log);
  await verifier.start();
  const watch = createWatch(store, log);
  cacheMetrics(registry, verifier);
  storeMetrics(registry, store);

  const options = { translate, observe, monotonic: clock.monotonic, trailers: noted?.trailers };
  const { gateways, streams } = await serveGateways({ config, registry, verifier, keys, watch, log }, options);
  const ports = { store, verifier, clock, random, quietMs: config.quietMs };
  const operators = await listenForOperators(config.admin, {
    routes: (router) =>
      router
        .service(DeviceService, deviceService(ports))
        .service(CredentialService, credentialService(ports))
        .service(CertificateService, certificateService(ports)),
    check: token.check,
    probes: probesOf(registry, () => decidesForMost(store.figures()), seat),
    observe,
    monotonic: clock.monotonic,
    log,
  });
  const stopServing = tellServing(gateways.health, store.lease);
  const stopSweeper = startSweeper({ store, clock, log });
  const stopCrlWatch = startCrlWatch({ store, clock, registry, log });
  const resealed = resealAll(store, live.keyring, log).catch((error: unknown) =>
    log.error({ err: error }, 're-sealing stopped; the next start goes on'),
  );
  const rotation = async () => rotate({ store, live, next: await reloadKeys(config.keys), log });
  const stopRotation = onHangup(resealed, rotation, log);

  return {
    ready: {
      grpc: formatAddress(gateways.address),
      admin: `http://${formatAddress(operators.address)}`,
      token: token.file,
      dataDir: config.dataDir,
    },
    stop: async () => {
      stopServing();
      stopRotation();
      stopSweeper();
      stopCrlWatch();
      watch.close();
      streams.close();
      await Promise.all([gateways.stop(DRAIN_MS), operators.stop()]);
      await verifier.close();
      await store.close();
    },
  };
}

async function serveGateways(
  parts: {
    readonly config: Config;
    readonly registry: Registry;
    readonly verifier: Verifier;
    readonly keys: () => TokenKeys;
    readonly watch: ReturnType<typeof createWatch>;
    readonly log: Log;
  },
  options: ServerOptions,
) {
  const { config, registry, verifier, keys, watch, log } = parts;
  const decisions = decisionMetrics(registry);
  const failed = failureLog(log, clock.monotonic);
  const decide = createDecide({ verifier, decisions, log });
  const streams = createStreams({ decide, codeOf: (error) => codeOf(error, failed) });
  gatewayGauges(registry, { watchers: watch.count, streams: streams.count });
  const service = authenticationService({
    ...{ verifier, decide, streams, watch, decisions, log },
    mint: (question) => mintToken(question, { verifier, keys, clock }),
    replica: { replicaId: Buffer.from(random(REPLICA_ID_BYTES)).toString('base64url'), sharing: config.workers },
    coapProducts: config.coapProducts,
  });
  const observe = logging(options.observe, failed);
  return { streams, gateways: await listenForGateways(config.grpc, service, { ...options, observe }) };
}

function makeVerifier(config: Config, store: Store, keys: () => TokenKeys, log: Log) {
  const noted = config.reportDecisionTimes
    ? noteDecisions(store.lease, () => process.hrtime.bigint() / 1_000n)
    : undefined;
  const { timestampWindow, requireTrustedCa, coapAcceptsSecondary } = config;
  const verifier = new Verifier({
    store: noted === undefined ? store : { ...store, lease: noted.lease },
    clock,
    random,
    settings: { ...DEFAULT_SETTINGS, timestampWindow, requireTrustedCa, coapAcceptsSecondary },
    tokenKeys: keys,
    maxRecords: config.maxCachedDevices,
    failures: config.failures,
    reportFailed: (error) => log.warn({ err: error }, 'last uses are told to the store later'),
  });
  return { verifier, noted };
}

/** Opens the store under its keys, and undoes a key file that was made for a store which has others. */
async function openWithKeys(config: Config, log: Log): Promise<{ readonly store: Store; readonly live: LiveKeyring }> {
  const { keyring, undo } = await loadKeys(config.keys, random);
  const live = liveKeyring(keyring);
  const store = await openStore(config, live.keyring, log).catch((error: unknown) => {
    // Only what the operator has to set right undoes the keys: if the store is just in use, its user may have read them.
    if (error instanceof RedisUrlError) undo();
    throw settingsError(error);
  });
  try {
    await checkKeys(store, keyring);
  } catch (error) {
    if (error instanceof KeyMismatch) undo(); // a key file made for this start does not belong to the store
    await store.close();
    throw settingsError(error);
  }
  return { store, live };
}

function openStore(config: Config, keyring: Keyring, log: Log): Promise<Store> {
  if (config.redisUrl === undefined)
    return openEmbeddedStore({ directory: join(config.dataDir, 'store'), keyring, clock, random });
  return openRedisStore({
    url: config.redisUrl,
    keyring,
    clock,
    random,
    strict: config.strict,
    ...(config.redisReplicas === undefined ? {} : { replicas: config.redisReplicas }),
    log: (message, fields) => log.warn(fields, message),
  });
}

/** What an operator has to set right comes out without a stack. */
function settingsError(error: unknown): unknown {
  if (error instanceof KeyMismatch || error instanceof RedisUrlError) return new SettingsError(error.message);
  return error;
}

/**
 * SIGHUP is the customary word for "read your files again". One at a time: of two that overlap, the one with the older
 * keys would have the store forget a key that the other seals under.
 */
function onHangup(before: Promise<void>, act: () => Promise<void>, log: Log): () => void {
  let turn = before;
  let waiting = false;
  const listener = () => {
    if (waiting) return; // the one that waits reads the files when its turn comes
    waiting = true;
    turn = turn
      .then(() => {
        waiting = false;
        return act();
      })
      .catch((error: unknown) => log.error({ err: error }, 'the sealing keys stay as they were'));
  };
  process.on('SIGHUP', listener);
  return () => process.off('SIGHUP', listener);
}
