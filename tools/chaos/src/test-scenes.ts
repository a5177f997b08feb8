import { play, type SceneName, type SceneResult } from './directed.ts';
import { startFleet } from './fleet.ts';
import { startStandalone } from './servers.ts';

/** Rounds of a scene: a mistake shows in the first, unless the machine is too busy for the scene's timing. */
export const ROUNDS = 4;

/** Plays scenes one after the other on a fleet of two replicas and a gateway that runs from this tree. */
export async function playOn(tree: string, scenes: readonly SceneName[]): Promise<readonly SceneResult[]> {
  const fleet = await startFleet({ tree, replicas: 2, gateways: 1, startServers: startStandalone });
  try {
    const results: SceneResult[] = [];
    for (const scene of scenes) results.push(await play(scene, fleet, ROUNDS));
    return results;
  } finally {
    await fleet.stop();
  }
}
