import { cachesDocumented } from './caches.ts';
import { inputsAreArguments } from './effects.ts';
import { noDefaultExports, noEmptyNames, noUnreasonedAny } from './exports.ts';
import { importDirections, importsStayInside, packagesListed, restrictedImports } from './imports.ts';
import { noMachinePaths, noTestLeftOut, nothingUnfinished } from './leftovers.ts';
import { linksResolve } from './links.ts';
import { manifestsAlike } from './manifests.ts';
import { patchesFit } from './patches.ts';
import { gatewaysAlike, reasonsAgree, reasonsAnswered, reasonsDocumented } from './reasons.ts';
import type { Rule } from './repo.ts';
import { sizes } from './size.ts';

/** What the repository checks about itself: each rule by the sentence that it upholds. */
export const RULES: Readonly<Record<string, Rule>> = {
  'files stop at 400 lines and functions at 70, named exceptions aside': sizes,
  'there are no default exports': noDefaultExports,
  'no name is empty: Impl, Manager, Base, Helper, Utils, a leading I': noEmptyNames,
  'every any has its reason': noUnreasonedAny,
  'every package stands in the closed lists': (repo) => packagesListed(repo),
  'packages use only what their closed list allows': (repo) => importDirections(repo),
  'some packages are imported in one place only': (repo) => restrictedImports(repo),
  'no relative import leaves its package': importsStayInside,
  'relative links in Markdown resolve': linksResolve,
  'every deny reason stands in docs/reasons.md': reasonsDocumented,
  'every gateway answers every deny reason': reasonsAnswered,
  'proto and code know the same deny reasons': reasonsAgree,
  'sister gateways have the same file names': gatewaysAlike,
  'every cache has its block in docs/caching.md': cachesDocumented,
  'clock, chance and environment are arguments': inputsAreArguments,
  'no test is left out': noTestLeftOut,
  'nothing is marked as unfinished': nothingUnfinished,
  'no path of one machine is in a file': noMachinePaths,
  'every patch fits the code that it is for': patchesFit,
  'packages have the same scripts and licence': manifestsAlike,
};
