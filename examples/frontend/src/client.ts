// A client for the todo API with plain fetch, for browsers, Node and Next.js. Its types come from the OpenAPI document:
// npx openapi-typescript http://127.0.0.1:8000/openapi.json --output todo-api.d.ts
import type { components, operations } from "./todo-api.d.ts";

export type Task = components["schemas"]["Task"];
export type TaskInput = components["schemas"]["TaskInput"];
export type Problem = components["schemas"]["Problem"];
export type Filter = NonNullable<operations["tasks_list"]["parameters"]["query"]>;
export type TodoClient = ReturnType<typeof todoClient>;

// The API answered with an error. Its `message` can be shown to the user.
export class TodoError extends Error {
  override readonly name = "TodoError";
  readonly problem: Problem | undefined; // undefined if something else answered, such as a proxy
  readonly code: Problem["code"] | undefined;
  readonly fields: { [Name in keyof TaskInput]?: string } = {}; // an error message for each invalid field
  readonly retryAfter: number | undefined; // in seconds

  constructor(response: Response, problem?: Problem) {
    super(problem?.detail ?? `The service itself did not answer (${response.status}). Try again in a moment.`);
    this.problem = problem;
    this.code = problem?.code;
    for (const { pointer, detail } of problem?.errors ?? []) {
      if (pointer) this.fields[pointer.slice(1) as keyof TaskInput] ??= detail;
    }
    this.retryAfter = Number(response.headers.get("Retry-After")) || undefined;
  }
}

// No response came. A write may have succeeded nevertheless.
export class NetworkError extends Error {
  override readonly name = "NetworkError";
}

// A task's ETag is made from its `updated_at`, so a task from a list can be updated without reading it again.
export const etag = (task: Task) => `"${task.updated_at.replace(/\D/g, "")}"`;

type Options = { body?: unknown; headers?: Record<string, string>; signal?: AbortSignal | undefined };
async function exchange(method: string, url: string, token: string, { body, headers, signal }: Options) {
  try {
    const response = await fetch(url, {
      method,
      headers: { ...headers, Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
      body: body === undefined ? null : JSON.stringify(body),
      keepalive: method === "DELETE", // sent even if the user is leaving the page
      signal: AbortSignal.any([AbortSignal.timeout(30_000), ...(signal ? [signal] : [])]),
    });
    return { response, text: await response.text() };
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NetworkError("There was no answer. Check the connection and try again.", { cause: error });
  }
}

// A client for one signed-in user. Create another one when somebody else signs in.
export function todoClient(baseUrl: string, userId: string, freshToken: () => Promise<string>) {
  const tasksUrl = `${baseUrl}/api/${encodeURIComponent(userId)}/tasks`;
  let token: Promise<string> | undefined; // a promise, so that concurrent requests share one renewal

  async function send(method: string, url: string, options: Options = {}) {
    for (let attempt = 1; ; attempt++) {
      const used = (token ??= freshToken());
      const forget = () => void (token === used && (token = undefined));
      used.catch(forget);
      const { response, text } = await exchange(method, url, await used, options);
      const type = response.headers.get("Content-Type") ?? "";
      const data = /^application\/(problem\+)?json/.test(type) ? JSON.parse(text) : undefined;
      if ((response.ok && data) || response.status === 204 || response.status === 304) return { response, data };
      const error = new TodoError(response, type.startsWith("application/problem") ? data : undefined);
      if (response.status === 401) forget();
      if (attempt > 1) throw error;
      if (error.code === "token_expired") continue;
      // A write with If-Match is not retried: if the first request did succeed, the retry would look like a conflict.
      const { retryAfter } = error;
      if (!retryAfter || retryAfter > 5 || options.headers?.["If-Match"]) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * retryAfter));
    }
  }

  // Returns one page of the list, and the cursor of the next page if there is one.
  async function page(filter: Filter = {}, signal?: AbortSignal): Promise<{ tasks: Task[]; next: string | undefined }> {
    const query = new URLSearchParams(JSON.parse(JSON.stringify(filter))); // drops undefined values
    const { response, data } = await send("GET", `${tasksUrl}?${query}`, { signal });
    const next = /<([^>]+)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    return { tasks: data, next: (next && new URL(next).searchParams.get("cursor")) || undefined };
  }

  return {
    page,
    // Yields every task, page by page: `for await (const task of todo.list({ completed: false })) ...`
    async *list(filter: Filter = {}): AsyncGenerator<Task> {
      let cursor = filter.cursor;
      do {
        const { tasks, next } = await page({ ...filter, ...(cursor && { cursor }) });
        yield* tasks;
        cursor = next;
      } while (cursor);
    },
    // Generate a key with crypto.randomUUID() for each new task, and retry with the same key: only one task is created.
    async create(input: TaskInput, key: string): Promise<Task> {
      return (await send("POST", tasksUrl, { body: input, headers: { "Idempotency-Key": key } })).data;
    },
    // If you pass the task that you know, the server sends it again only if it has changed.
    async read(id: number, known?: Task): Promise<Task> {
      const headers: Record<string, string> = known ? { "If-None-Match": etag(known) } : {};
      return (await send("GET", `${tasksUrl}/${id}`, { headers })).data ?? known;
    },
    // If the task has changed since you read it, update and delete fail with the code "precondition_failed".
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
