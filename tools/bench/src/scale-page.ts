import type { Sources } from './document.ts';
import {
  DEVICES_PER_GATEWAY,
  type Goal,
  LOAD,
  MAX_PRIMARIES,
  type Needs,
  needsOf,
  PRICES,
  PRIMARY_BYTES,
  type Prices,
} from './extrapolate.ts';
import { shown } from './table.ts';

/** The page beside the document that carries its figures on. */
export const SCALE_PAGE = 'scale.md';

const BEGIN = '<!-- computed: `npm run bench -- stream cold memory replicas --write` -->';
const END = '<!-- end -->';

const DEVICES = 100_000_000;
const DECISIONS_PER_S = 1_000_000;

/** What each column of the page is about. */
const GOALS: Readonly<Record<string, Goal>> = {
  '9 of 10 from memory, 100 changes/s': goal(0.9, 100),
  'none from memory, 100 changes/s': goal(0, 100),
  '9 of 10 from memory, 1,000 changes/s': goal(0.9, 1_000),
};

type Row = readonly [what: string, how: string, value: (needs: Needs) => string];

const ROWS: readonly Row[] = [
  ['auth, cores for decisions', 'decisions × warm + misses × nothing cached', ({ authCores }) => shown(authCores)],
  ['auth, cores for telling gateways', 'changes × gateways × telling', ({ watchCores }) => shown(watchCores)],
  ['auth processes of one core', `both, at ${LOAD * 100} % load`, ({ authProcesses }) => count(authProcesses)],
  ['cache that holds every device, in each process', 'devices × cached', ({ wholeCacheBytes }) => gb(wholeCacheBytes)],
  ['Redis, cores for reads', 'misses × a GET', ({ readCores }) => shown(readCores)],
  ['Redis, cores for last uses', 'decisions × use', ({ useCores }) => shown(useCores)],
  [
    'Redis, cores for changes',
    'changes × (one replica + processes × each more)',
    ({ changeCores }) => shown(changeCores),
  ],
  ['Redis, cores for heartbeats', 'processes × primaries × heartbeats', ({ beatCores }) => shown(beatCores)],
  ['Redis, memory', 'devices × (record + index + last uses)', ({ redisBytes }) => gb(redisBytes)],
  [
    'Redis primaries',
    `work at ${LOAD * 100} % load, memory at ${PRIMARY_BYTES / 2 ** 30} GiB each, the larger`,
    ({ primaries }) => (primaries > MAX_PRIMARIES ? `${count(primaries)}: too many` : count(primaries)),
  ],
  ['gateways', `devices / ${DEVICES_PER_GATEWAY.toLocaleString('en-US')}`, ({ gateways }) => count(gateways)],
  [
    'all reconnect with nothing cached, s',
    'devices × (warm + nothing cached) / processes, in full use',
    ({ reconnectS }) => shown(reconnectS),
  ],
];

/** The page with what its tables say now. Throws when it has no place for them. */
export function withTables(page: string, kept: Sources['kept']): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${SCALE_PAGE} has no place for its tables: ${BEGIN} ... ${END}`);
  return `${page.slice(0, begin + BEGIN.length)}\n\n${tablesOf(kept)}\n\n${page.slice(end)}`;
}

function tablesOf(kept: Sources['kept']): string {
  const found = Object.entries(PRICES).map(([name, { suite, figure }]) => {
    const { rates = {}, ratios = {} } = kept[suite]?.findings ?? {};
    return [name, (rates[figure] ?? ratios[figure])?.median] as const;
  });
  const lacking = found.filter(([, value]) => value === undefined);
  if (lacking.length > 0) return 'Not measured yet: the command above fills this in.';
  const prices = Object.fromEntries(found) as Prices;
  return [pricesTable(prices, kept), needsTable(prices)].join('\n\n');
}

function pricesTable(prices: Prices, kept: Sources['kept']): string {
  const rows = Object.entries(PRICES).map(([name, { suite, figure, what }]) => {
    const value = shown(prices[name as keyof Prices]);
    return `| \`${figure}\` | ${what} | ${value} | \`${kept[suite]?.command}\` |`;
  });
  return ['| figure | what it is | median | measured by |', '| --- | --- | --: | --- |', ...rows].join('\n');
}

function needsTable(prices: Prices): string {
  const needs = Object.values(GOALS).map((each) => needsOf(prices, each));
  const rows = ROWS.map(([what, how, value]) => `| ${what} | ${how} | ${needs.map(value).join(' | ')} |`);
  return [
    `| ${DEVICES / 1e6} million devices, ${DECISIONS_PER_S / 1e6} million decisions/s | computed as | ${Object.keys(GOALS).join(' | ')} |`,
    `| --- | --- |${' --: |'.repeat(needs.length)}`,
    ...rows,
  ].join('\n');
}

function goal(hitShare: number, changesPerS: number): Goal {
  return { devices: DEVICES, decisionsPerS: DECISIONS_PER_S, hitShare, changesPerS };
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function gb(bytes: number): string {
  return `${shown(bytes / 1e9)} GB`;
}
