// The way to the API: paths, parameters and answers are typed by the OpenAPI
// document (schema.ts, generated).
import type { components, paths } from '../schema';

type Schemas = components['schemas'];
export type Group = Schemas['InboxGroup'];
export type Detail = Schemas['AlertDetail'];
export type GroupList = Schemas['InboxList'];
export type Counts = Schemas['InboxCounts'];
export type Change = Schemas['InboxChange'];
export type Stats = Schemas['Stats'];
export type Sensor = Schemas['Sensor'];
export type Health = Schemas['Health'];
export type Bucket = Schemas['StoreBucket'];
export type EmptyAnswer = Schemas['EmptyAnswer'];
export type ConsumerGroup = Schemas['BusGroupInfo'];
export type Topic = Schemas['BusTopicInfo'];
export type DeadLetter = Schemas['DeadLetter'];
export type Tried = Schemas['LetterTried'];
export type Rerun = Schemas['Rerun'];
export type Action = 'archive' | 'escalate' | 'reopen' | 'star' | 'unstar' | 'note';
export type Doc = Record<string, unknown>;

type Method = 'get' | 'post' | 'delete';
type At<P extends keyof paths, M extends Method> = paths[P][M];
type Answer<O> = O extends { responses: { 200: { content: { 'application/json': infer R } } } } ? R : never;
type Query<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
type Body<O> = O extends { requestBody: { content: { 'application/json': infer B } } } ? B : undefined;
type InPath<O> = O extends { parameters: { path: infer X } } ? X : Record<string, never>;

/** What the API answers instead of a result. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly column = 0,
  ) {
    super(message);
  }
}

let signedOut: () => void = () => {};

/** Calls f whenever the API says that nobody is signed in. */
export function onSignedOut(f: () => void): void {
  signedOut = f;
}

async function send(method: string, url: string, body: unknown, signal?: AbortSignal): Promise<unknown> {
  const init: RequestInit = { method, credentials: 'same-origin', headers: { Accept: 'application/json' } };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
  }
  let answer: Response;
  try {
    answer = await fetch(url, init);
  } catch (e) {
    if (signal?.aborted) throw e;
    throw new ApiError(0, 'unreachable', 'decoder does not answer. It may be restarting.');
  }
  const text = await answer.text();
  if (answer.ok) return text ? JSON.parse(text) : {};
  let error = { code: 'unknown', message: `decoder answers ${answer.status}`, column: 0 };
  try {
    error = { ...error, ...(JSON.parse(text) as { error: typeof error }).error };
  } catch {
    // not one of ours: its status must do
  }
  if (answer.status === 401 && error.code === 'sign_in') signedOut();
  throw new ApiError(answer.status, error.code, error.message, error.column);
}

function fill(path: string, values: Record<string, unknown> = {}): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(values[name])));
}

function queryString(query: object): string {
  const q = new URLSearchParams();
  for (const [k, v] of Object.entries(query)) if (v !== undefined && v !== '' && v !== false) q.set(k, String(v));
  const s = q.toString();
  return s && '?' + s;
}

export function get<P extends keyof paths>(
  path: P,
  query: Query<At<P, 'get'>> | Record<string, never> = {},
  options: { signal?: AbortSignal; path?: InPath<At<P, 'get'>> } = {},
): Promise<Answer<At<P, 'get'>>> {
  const url = fill(path, options.path) + queryString(query as object);
  return send('GET', url, undefined, options.signal) as Promise<Answer<At<P, 'get'>>>;
}

export function post<P extends keyof paths>(path: P, body: Body<At<P, 'post'>>): Promise<Answer<At<P, 'post'>>> {
  return send('POST', path, body) as Promise<Answer<At<P, 'post'>>>;
}

export function signOut(): Promise<unknown> {
  return send('DELETE', '/api/v1/session', {});
}
