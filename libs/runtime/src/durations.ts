import type { Histogram, Registry } from 'prom-client';

/** What a histogram of durations is called; the upper bounds of its buckets ascend, seconds. */
export type DurationsOptions = {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly [string, string];
  readonly boundsS: readonly number[];
};

/** What a registry asks a metric for. */
type Told = Omit<Awaited<ReturnType<Histogram['get']>>, 'collect' | 'type'> & { readonly type: 'histogram' };

type Series = {
  readonly labels: Readonly<Record<string, string>>;
  /** By bucket, the last one for what is beyond all bounds. */
  readonly counts: number[];
  sumS: number;
};

/**
 * A histogram with two labels in a registry of prom-client, whose own puts a text together for each observation, to find
 * the series by it: 3 % of a unary call, for a number to be counted. Here the series is found by the labels' values.
 */
export class Durations {
  readonly name: string;
  readonly #options: DurationsOptions;
  readonly #series = new Map<string, Map<string, Series>>();

  /** Throws when the registry has another metric of that name. */
  constructor(registry: Registry, options: DurationsOptions) {
    this.name = options.name;
    this.#options = options;
    // A registry asks no more of a metric than `name`, `get` and `reset`, but is typed for prom-client's own classes.
    registry.registerMetric(this as unknown as Histogram);
  }

  /** Counts one duration under the values of the two labels. */
  observe(first: string, second: string, seconds: number): void {
    const series = this.#series.get(first)?.get(second) ?? this.#begin(first, second);
    const { boundsS } = this.#options;
    let bucket = 0;
    while (bucket < boundsS.length && seconds > (boundsS[bucket] ?? 0)) bucket++;
    series.counts[bucket] = (series.counts[bucket] ?? 0) + 1;
    series.sumS += seconds;
  }

  /** For the registry. */
  async get(): Promise<Told> {
    const all = [...this.#series.values()].flatMap((bySecond) => [...bySecond.values()]);
    const values = all.flatMap((series) => valuesOf(series, this.#options));
    return { name: this.name, help: this.#options.help, type: 'histogram', aggregator: 'sum', values };
  }

  /** For the registry. */
  reset(): void {
    this.#series.clear();
  }

  #begin(first: string, second: string): Series {
    const { labelNames, boundsS } = this.#options;
    const labels = { [labelNames[0]]: first, [labelNames[1]]: second };
    const series: Series = { labels, counts: new Array(boundsS.length + 1).fill(0), sumS: 0 };
    const bySecond = this.#series.get(first) ?? new Map<string, Series>();
    this.#series.set(first, bySecond.set(second, series));
    return series;
  }
}

/** As Prometheus wants them: each bucket counts those before it too. */
function valuesOf({ labels, counts, sumS }: Series, { name, boundsS }: DurationsOptions): Told['values'] {
  let count = 0;
  const buckets = counts.map((own, bucket) => {
    count += own;
    return { labels: { le: boundsS[bucket] ?? '+Inf', ...labels }, value: count, metricName: `${name}_bucket` };
  });
  return [
    ...buckets,
    { labels, value: sumS, metricName: `${name}_sum` },
    { labels, value: count, metricName: `${name}_count` },
  ];
}
