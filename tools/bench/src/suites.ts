import { streamAtTarget, unaryAtTarget } from './at-target.ts';
import { coapSuite } from './coap.ts';
import { coldSuite } from './cold.ts';
import { fleetSuite } from './fleet.ts';
import { memorySuite } from './memory.ts';
import { mqttSuite } from './mqtt.ts';
import type { Suite } from './plan.ts';
import { primitivesSuite } from './primitives.ts';
import { whatIsMissing } from './programs.ts';
import { replicasSuite } from './replicas.ts';
import { resetSuite } from './reset.ts';
import { stormSuite } from './storm.ts';
import { streamSuite } from './stream.ts';
import { unarySuite } from './unary.ts';
import { verifySuite } from './verify.ts';
import { workersSuite } from './workers.ts';

/** A suite, and what it is for. */
export type Entry = {
  /** What it asks, in a sentence or two; help and document show it. */
  readonly question: string;
  /** What a reader of its figures should know beside that, in Markdown; the document shows it. */
  readonly reading?: string;
  readonly run: Suite;
  /** Programs without which it measures nothing, by Debian's packages. */
  readonly needs?: Readonly<Record<string, string>>;
  /** What it does against a server elsewhere; left out: it cannot. */
  readonly atTarget?: Suite;
};

const REDIS = { 'redis-server': 'redis-server' };

/** All suites, in the order in which they run. */
export const SUITES: Readonly<Record<string, Entry>> = {
  primitives: {
    question: 'What do the parts cost, each alone, that a decision is made of?',
    reading:
      'CPU time of one operation in this process, what it leaves to the garbage collector included. The caches hold a million entries. `hmac_sha256_one_shot` is the HMAC of the service, two one-shot hashes; `hmac_sha256_create_hmac` is that of `node:crypto`. Requests and responses go through the generated code of `@bufbuild/protobuf`.',
    run: primitivesSuite,
  },
  verify: {
    question:
      'What does a decision cost in process, with its record in the cache, against nothing but the LRU get, HMAC and constant-time compare that it cannot do without?',
    reading:
      'All in this one process; devices come up by Zipf. The aim is held against the HMAC of `node:crypto`. The service computes its own from two one-shot hashes, for less: `verify_over_bare_one_shot` is held against the same parts with that, and shows what caching rules, lease, budget and answer cost.',
    run: verifySuite,
  },
  unary: {
    question: 'What does Authenticate cost, one call a decision, against the same method with an empty handler?',
    reading:
      'Both servers are asked in turns of a tenth of a second by a client of grpc-js, and then round by round by h2load, which nobody here wrote: one message of one device again and again, over as many connections and streams. h2load looks at the HTTP status alone and not at `grpc-status`, so a client of grpc-js has seen right answers of both servers before. A client on Node shares the cores with the server and leaves it idle at times, which makes a call dearer.',
    run: unarySuite,
    atTarget: unaryAtTarget,
  },
  stream: {
    question:
      'How many decisions does a server give by AuthenticateStream, as gateways ask, out of a second of its own CPU time, against an empty unary handler?',
    reading:
      'The questions go through the gateway kit, 256 open at a time, as when devices reconnect. They are held against an empty unary handler on Node, and against one in C++ ([empty_server.cc](../tools/bench/cpp/empty_server.cc), the completion-queue API of grpc++ with one thread, the cheapest of its ways here), which h2load calls where there is one. At a lower rate fewer questions wait together, batches are smaller and a decision costs more: the curve shows how much.',
    run: streamSuite,
    atTarget: streamAtTarget,
  },
  cold: {
    question:
      'How many decisions are there in a second with nothing cached, over a real Redis, against plain GETs of the same records?',
    reading:
      'All run in one process with 256 under way: node-redis as it comes, node-redis set as the connections of the store are (`lean`: no deadline of its own for each command), and the decisions. A decision opens the record, verifies the proof and has the last use told to Redis; a GET does nothing with what it gets. `cold_parts_over_redis_get` is what no design gets past here: records read many at a time, opened, and a proof verified, in a plain loop with nothing around it. `cold_over_parts` is what cache, lease, budget, answer and the told use cost on top.',
    run: coldSuite,
    needs: REDIS,
  },
  storm: {
    question: 'What happens when all devices reconnect in the same moment and nothing is cached?',
    reading:
      'The service has just started. One gateway asks, with its own bounds: 4,000 questions at a time, 2 s for each. What comes over that is told to come again and does so after half a second to one and a half; times count from the moment in which all came. One device in fifty shows a wrong proof. `storm_timeouts` counts whatever ended without a decision and was not shed. Client, service and Redis share the cores.',
    run: stormSuite,
    needs: REDIS,
  },
  workers: {
    question:
      'What does a decision cost with one worker and with two, asked by one gateway over one address, and is each of the two asked as often?',
    reading:
      'Rates tell little on two cores: what asks takes one of them. What a machine of more cores could decide is its cores divided by the CPU time of a decision.',
    run: workersSuite,
    needs: REDIS,
  },
  memory: {
    question: 'What does a device take, in the cache of an auth process, in Redis, and in the embedded store?',
    reading:
      'Every device is in use and has two secrets. The cache is that of a process that has decided on all of them, heap and buffers after a garbage collection less what they were before; what the process holds beyond that until the system wants it back is the difference to `rss`. In Redis the records alone are held against the aim; the index of ids, last uses and the log stand beside them.',
    run: memorySuite,
    needs: REDIS,
  },
  fleet: {
    question: 'What does a decision cost as the fleet grows from a thousand devices to ten million?',
    reading:
      'The curves have one cache of one size: what grows with the fleet is the share of questions that miss it. The ratios compare fleets with as many hits, nine of ten, and count the CPU time of Redis as well: what is left is the size of the fleet alone.',
    run: fleetSuite,
    needs: REDIS,
  },
  reset: {
    question:
      'How much longer than a bare write to Redis does a reset take that three replicas must have heard of, and how soon is a device sent away?',
    run: resetSuite,
    needs: REDIS,
  },
  replicas: {
    question: 'What does each replica more cost Redis, and how much longer does a reset take?',
    reading:
      'A change is a write and the wait until every replica has reported it. All replicas are in one process here, so that with a hundred of them it is their one core that is waited for; what they cost Redis is not touched by that. `..._busy` is with 64 changes under way, when replicas report several at once. `change_and_watcher_cpu_us` is what an auth service spends on telling one gateway of one change.',
    run: replicasSuite,
    needs: REDIS,
  },
  mqtt: {
    question: 'What does it cost to let a device in by MQTT, beside Mosquitto and RabbitMQ with users of their own?',
    run: mqttSuite,
    needs: { openssl: 'openssl' },
  },
  coap: {
    question:
      'What do a DTLS handshake and a request over CoAP cost, with the secrets in the auth service, beside libcoap’s server that has them in memory?',
    reading:
      'Ours asks another process twice in each handshake, for the master secret and for the decision, which may change until the last moment; libcoap’s example server, in C, looks the key up in a list. A report goes on to Mosquitto and is answered once that has it; libcoap has nothing like it.',
    run: coapSuite,
  },
};

/** Stands for all of them. */
export const ALL = 'all';

/** The suites of these names in their order, none being all, as they run here or at a server elsewhere. Throws when one cannot. */
export function chosenSuites(
  names: readonly string[],
  atTarget: boolean,
): readonly (readonly [name: string, suite: Suite])[] {
  const isEach = names.length === 0 || names.includes(ALL);
  return Object.entries(SUITES).flatMap(([name, entry]) => {
    const suite = atTarget ? entry.atTarget : entry.run;
    if (!isEach && !names.includes(name)) return [];
    if (suite !== undefined) return [[name, ifAble(suite, atTarget ? {} : entry.needs)] as const];
    if (!names.includes(name)) return [];
    const able = Object.keys(SUITES).filter((each) => SUITES[each]?.atTarget !== undefined);
    throw new Error(`${name} measures processes of its own and cannot run with --target; ${able.join(' and ')} can`);
  });
}

/** The suite; rejects when it lacks a program. */
function ifAble(suite: Suite, needs: Entry['needs'] = {}): Suite {
  return async (plan) => {
    const missing = whatIsMissing(needs);
    if (missing !== undefined) throw new Error(missing);
    return suite(plan);
  };
}
