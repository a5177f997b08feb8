import { setFlagsFromString } from 'node:v8';

/**
 * Has V8 make all objects young from now on (ADR 0031). By itself it learns which places of the code make objects that outlive a
 * collection or two, and makes those old at once. In a server these are the objects of each call, which die with it, and
 * only a marking of the whole heap finds them dead.
 */
export function stopPretenuring(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
