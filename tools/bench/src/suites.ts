import { coldSuite } from './cold.ts';
import { mqttSuite } from './mqtt.ts';
import type { Suite } from './plan.ts';
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
};

/** All suites, in the order in which they run. */
export const SUITES: Readonly<Record<string, Entry>> = {
  verify: {
    question:
      'What does a decision cost in process, with its record in the cache, against nothing but the LRU get, HMAC and constant-time compare that it cannot do without?',
    run: verifySuite,
  },
  unary: {
    question: 'What does Authenticate cost, one call a decision, against the same method with an empty handler?',
    reading:
      'Both servers are asked in turns by a client of grpc-js, and then by h2load, which nobody here wrote: one message of one device again and again, over as many connections and streams. h2load looks at the HTTP status alone and not at `grpc-status`, so a client of grpc-js has seen right answers of both servers before. A client on Node shares the cores with the server and leaves it idle at times, which makes a call dearer.',
    run: unarySuite,
  },
  stream: {
    question:
      'How many decisions does a server give by AuthenticateStream, as gateways ask, out of a second of its own CPU time, against an empty unary handler?',
    reading:
      'The questions go through the gateway kit, 256 open at a time, as when devices reconnect. They are held against an empty unary handler on Node, and against one in C++ ([empty_server.cc](../tools/bench/cpp/empty_server.cc), the completion-queue API of grpc++ with one thread, the cheapest of its ways here), which h2load calls where there is one. At a lower rate fewer questions wait together, batches are smaller and a decision costs more: the curve shows how much.',
    run: streamSuite,
  },
  cold: {
    question:
      'How many decisions are there in a second with nothing cached, over a real Redis, against plain GETs of the same records?',
    run: coldSuite,
  },
  storm: {
    question: 'What happens when all devices reconnect in the same moment and nothing is cached?',
    run: stormSuite,
  },
  workers: {
    question:
      'What does a decision cost with one worker and with two, asked by one gateway over one address, and is each of the two asked as often?',
    reading:
      'Rates tell little on two cores: what asks takes one of them. What a machine of more cores could decide is its cores divided by the CPU time of a decision.',
    run: workersSuite,
  },
  reset: {
    question:
      'How much longer than a bare write to Redis does a reset take that three replicas must have heard of, and how soon is a device sent away?',
    run: resetSuite,
  },
  mqtt: {
    question: 'What does it cost to let a device in by MQTT, beside Mosquitto and RabbitMQ with users of their own?',
    run: mqttSuite,
  },
};
