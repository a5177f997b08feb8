import { Command, InvalidArgumentError, Option } from 'commander';
import { type Address, formatAddress, parseAddress } from './listen.ts';
import { LOG_LEVELS } from './log.ts';

/** A service's command line: each option may also come from the environment, as its help says. Unknown ones are refused
 * with exit code 2. */
export function serviceCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .showHelpAfterError('(--help lists the options)')
    .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 2))
    .addOption(
      new Option('--log-level <level>', 'how much to log')
        .choices(LOG_LEVELS)
        .default('info')
        .env('LATCHKEY_LOG_LEVEL'),
    );
}

/** An option that holds an address; without a fallback it may be left away. */
export function addressOption(flags: string, description: string, fallback?: string): Option {
  const option = new Option(flags, description).argParser(addressArgument);
  return fallback === undefined ? option : option.default(parseAddress(fallback), fallback);
}

/** Addresses that one option may hold. */
const MAX_ADDRESSES = 16;

/** An option that holds one or more addresses, with commas between them or given again. */
export function addressesOption(flags: string, description: string, fallback: string): Option {
  const byDefault: readonly Address[] = [parseAddress(fallback)];
  return new Option(flags, description)
    .argParser((text, before: readonly Address[]) => {
      const all = [...(before === byDefault ? [] : before), ...text.split(',').map(addressArgument)];
      const distinct = new Set(all.map(formatAddress));
      if (distinct.size < all.length) throw new InvalidArgumentError('An address stands there twice.');
      if (all.length > MAX_ADDRESSES) throw new InvalidArgumentError(`At most ${MAX_ADDRESSES} addresses.`);
      return all;
    })
    .default(byDefault, fallback);
}

/** An option that holds a whole number within bounds. */
export function numberOption(
  flags: string,
  description: string,
  bounds: { readonly fallback: number; readonly min: number; readonly max: number },
): Option {
  return new Option(flags, description)
    .argParser((text) => {
      const value = /^[0-9]+$/.test(text) ? Number(text) : Number.NaN;
      if (value >= bounds.min && value <= bounds.max) return value;
      throw new InvalidArgumentError(`It must be a whole number from ${bounds.min} to ${bounds.max}.`);
    })
    .default(bounds.fallback);
}

function addressArgument(text: string): Address {
  try {
    return parseAddress(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `It is ${error.message}.` : '');
  }
}
