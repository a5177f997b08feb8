import type { TestContext } from 'vitest';
import { newPlace, type Place, type STORES } from './place.ts';
import type { Program } from './program.ts';
import { type Launched, launch } from './system.ts';

/** What a test has that cleans up behind itself, the last thing first. */
export type Scope = Pick<TestContext, 'onTestFinished' | 'onTestFailed'>;

/** An empty place until the test is over. */
export async function placeFor(scope: Scope, store?: (typeof STORES)[number]): Promise<Place> {
  const place = await newPlace(store);
  scope.onTestFinished(place.remove);
  return place;
}

/** Ends a program when the test is over; when it failed, shows the program's last lines. */
export function programFor(scope: Scope, program: Program): Program {
  scope.onTestFinished(async () => {
    await program.end();
  });
  scope.onTestFailed(() => console.error(program.said()));
  return program;
}

/** A launched system until the test is over. */
export async function systemFor(scope: Scope, place: Place): Promise<Launched> {
  const system = await launch(place);
  programFor(scope, system.launcher);
  return system;
}
