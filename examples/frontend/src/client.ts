// The todo API in the browser, in Node and in Next.js: plain fetch, no dependency. Its types come from the API's document:
// npx openapi-typescript http://127.0.0.1:8000/openapi.json --output todo-api.d.ts
import type { components, operations } from "./todo-api.d.ts";

export type Task = components["schemas"]["Task"];
export type TaskInput = components["schemas"]["TaskInput"];
export type Problem = components["schemas"]["Problem"];
export type Filter = NonNullable<operations["tasks_list"]["parameters"]["query"]>;
export type TodoClient = ReturnType<typeof todoClient>;

// The API answered, and refused. `message` can be shown to a person.
export class TodoError extends Error {
  override readonly name = "TodoError";
  readonly status: number;
  readonly problem: Problem | undefined; // none if something in between answered, such as a proxy
  readonly code: Problem["code"] | undefined;
  readonly fields: { [Name in keyof TaskInput]?: string } = {}; // what is wrong with which field
  readonly retryAfter: number | undefined; // in seconds

  constructor(response: Response, problem?: Problem) {
    super(problem?.detail ?? `The service answered ${response.status}. Try again in a moment.`);
    this.status = response.status;
    this.problem = problem;
    this.code = problem?.code;
    for (const { pointer, detail } of problem?.errors ?? []) {
      if (pointer) this.fields[pointer.slice(1) as keyof TaskInput] ??= detail;
    }
    this.retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  }
}

// No answer came. A write may have been done all the same.
export class NetworkError extends Error {
  override readonly name = "NetworkError";
}

// A task's entity tag is its `updated_at`, so that a task from a list can be written without reading it first.
export const etag = (task: Task) => `"${task.updated_at.replace(/\D/g, "")}"`;

type Options = { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal | undefined };

async function exchange(method: string, url: string, token: string, { body, headers, signal }: Options) {
  const timeout = AbortSignal.timeout(30_000);
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      keepalive: method === "DELETE", // it is sent even if the page is left at this moment
      signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
    });
    return { response, text: await response.text() };
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NetworkError("There was no answer. Check the connection and try again.", { cause: error });
  }
}

// Speaks for one signed-in person: make another one when somebody else signs in.
export function todoClient(baseUrl: string, userId: string, freshToken: () => Promise<string>) {
  const tasksUrl = `${baseUrl}/api/${encodeURIComponent(userId)}/tasks`;
  let token: Promise<string> | undefined; // shared, so that many requests at once renew it once

  async function send(method: string, url: string, options: Options = {}) {
    for (let attempt = 1; ; attempt++) {
      const used = (token ??= freshToken());
      const forget = () => void (token === used && (token = undefined));
      used.catch(forget);
      const { response, text } = await exchange(method, url, await used, options);
      if (response.ok || response.status === 304) return { response, data: text ? JSON.parse(text) : undefined };
      const isProblem = response.headers.get("Content-Type")?.startsWith("application/problem+json");
      const error = new TodoError(response, isProblem ? JSON.parse(text) : undefined);
      if (error.status === 401) forget();
      if (attempt > 1) throw error;
      if (error.code === "token_expired") continue;
      // Not with If-Match: if the first request was done after all, the second would be told that the task has changed.
      if (!error.retryAfter || error.retryAfter > 5 || options.headers?.["If-Match"]) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter!));
    }
  }

  // One page, and the cursor of the next one if there is one.
  async function page(filter: Filter = {}, signal?: AbortSignal): Promise<{ tasks: Task[]; next: string | undefined }> {
    const given = Object.entries(filter).filter(([, value]) => value !== undefined);
    const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
    const { response, data } = await send("GET", `${tasksUrl}?${query}`, { signal });
    const next = /<([^>]+)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    return { tasks: data, next: (next && new URL(next).searchParams.get("cursor")) || undefined };
  }

  return {
    page,
    // Every task, page after page: `for await (const task of todo.list({ completed: false })) ...`
    async *list(filter: Filter = {}): AsyncGenerator<Task> {
      for (let next = filter.cursor, first = true; first || next; first = false) {
        const got = await page(next ? { ...filter, cursor: next } : filter);
        yield* got.tasks;
        next = got.next;
      }
    },
    // Make a key (crypto.randomUUID()) for each new task, and call again with it until an answer comes: there is one task.
    async create(input: TaskInput, key: string): Promise<Task> {
      return (await send("POST", tasksUrl, { body: input, headers: { "Idempotency-Key": key } })).data;
    },
    // With the task that you have, nothing is sent back if that is still the current one.
    async read(id: number, known?: Task): Promise<Task> {
      const headers: Record<string, string> = known ? { "If-None-Match": etag(known) } : {};
      return (await send("GET", `${tasksUrl}/${id}`, { headers })).data ?? known;
    },
    // Update and delete write only what was seen: if `task` has changed since, the error's code is "precondition_failed".
    async update(task: Task, input: TaskInput): Promise<Task> {
      return (await send("PUT", `${tasksUrl}/${task.id}`, { body: input, headers: { "If-Match": etag(task) } })).data;
    },
    async complete({ id }: Task, completed: boolean): Promise<Task> {
      return (await send("PATCH", `${tasksUrl}/${id}/complete`, { body: { completed } })).data;
    },
    async delete(task: Task): Promise<void> {
      await send("DELETE", `${tasksUrl}/${task.id}`, { headers: { "If-Match": etag(task) } });
    },
  };
}
