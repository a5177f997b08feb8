import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What runs, as the launcher's starter and the command line tool need to know it. */
export type Endpoints = {
  /** `host:port` of the gateways' listener. */
  readonly grpc: string;
  /** URL of the operators' listener. */
  readonly admin: string;
  /** `host:port` of MQTT. */
  readonly mqtt: string;
  /** `host:port` of MQTT over TLS. */
  readonly mqtts: string;
  /** `host:port` of MQTT for applications and other gateways; absent with a broker elsewhere. */
  readonly ingress?: string;
  /** URL of the broker that takes the links of devices, when it is not the one in the MQTT gateway. */
  readonly upstream?: string;
  /** URL of HTTPS, if it is served. */
  readonly https?: string;
  /** URL of CoAP over DTLS, if it is served. */
  readonly coaps?: string;
  /** Path of the file that holds what applications log in with at the ingress, `USER:PASSWORD`. */
  readonly ingressCredential?: string;
  /** Path of the file that holds the operator's token. */
  readonly token: string;
  /** Path of the data directory; the CA certificate to trust `mqtts`, `https` and `coaps` by is `tls/ca.pem` in it. */
  readonly dataDir: string;
};

/** Writes `DIR/endpoints.json`, where the command line tool finds the server and the token's path. Mode 0600. */
export async function writeEndpoints(endpoints: Endpoints): Promise<void> {
  const path = endpointsPath(endpoints.dataDir);
  await writeFile(`${path}.new`, `${JSON.stringify(endpoints, undefined, 2)}\n`, { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Takes the file away again: what it tells of has stopped. */
export async function removeEndpoints(dataDir: string): Promise<void> {
  await rm(endpointsPath(dataDir), { force: true });
}

function endpointsPath(dataDir: string): string {
  return join(dataDir, 'endpoints.json');
}
