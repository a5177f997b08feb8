import { execFile } from 'node:child_process';

/** What curl was answered. */
export type Answered = {
  readonly status: number;
  /** `1`, `1.1` or `2`. */
  readonly version: string;
  /** The body, read as JSON when it is some. */
  readonly body: unknown;
};

/** What a device sends over HTTPS. */
export type Sent = {
  readonly port: number;
  /** The CA's file. */
  readonly ca: string;
  readonly path: string;
  readonly body?: string | undefined;
  readonly token?: string | undefined;
  /** The device's certificate where it has one, as paths. */
  readonly identity?: { readonly certificate: string; readonly key: string } | undefined;
  /** More options of curl. */
  readonly more?: readonly string[];
};

/** A stuck client is a failure after this time. */
const DEADLINE_S = 15;

/** Sends a request by `curl`, with its body on standard input. Rejects when there is no answer. */
export function curl({ port, ca, path, body = '', token, identity, more = [] }: Sent): Promise<Answered> {
  const args = [
    ...['-sS', '-m', String(DEADLINE_S), '--cacert', ca, '-w', '\n%{http_code} %{http_version}'],
    ...['-H', 'content-type: application/json', '--data-binary', '@-'],
    ...(token === undefined ? [] : ['-H', `access_token: ${token}`]),
    ...(identity === undefined ? [] : ['--cert', identity.certificate, '--key', identity.key]),
    ...[...more, `https://localhost:${port}${path}`],
  ];
  return new Promise((resolve, reject) => {
    const child = execFile('curl', args, (error, stdout, stderr) => {
      if (error !== null) return reject(new Error(`curl ended with ${error.code}: ${stderr}`));
      const end = stdout.lastIndexOf('\n');
      const [status = '', version = ''] = stdout.slice(end + 1).split(' ');
      resolve({ status: Number(status), version, body: readBody(stdout.slice(0, end)) });
    });
    child.stdin?.on('error', () => undefined); // answered before all of the body was sent
    child.stdin?.end(body);
  });
}

function readBody(text: string): unknown {
  return text.startsWith('{') ? JSON.parse(text) : text;
}
