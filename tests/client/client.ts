// client.ts
import createClient from "openapi-fetch";
import type { components, operations, paths } from "./todo-api.js";

export type Task = components["schemas"]["Task"];
export type TaskInput = components["schemas"]["TaskInput"];
export type Problem = components["schemas"]["Problem"];
export type Filter = NonNullable<operations["tasks_list"]["parameters"]["query"]>;
export type Todo = ReturnType<typeof todoClient>;

// Calls the API as the signed-in user; renews the token once when it has expired.
export function todoClient(baseUrl: string, freshToken: () => Promise<string>) {
  let token: string | undefined;
  async function authorized(request: Request): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      token ??= await freshToken();
      const sent = request.clone(); // a body can be sent only once
      sent.headers.set("Authorization", `Bearer ${token}`);
      const response = await fetch(sent);
      if (response.status !== 401) return response;
      token = undefined;
      const { code }: Problem = await response.clone().json();
      if (code !== "token_expired" || attempt > 1) return response;
    }
  }
  return createClient<paths>({ baseUrl, fetch: authorized });
}

export class TodoError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem; // programs read problem.code
  }
}

// Make one key for each new task, and call this again with it until an answer comes: there will be one task.
export async function createTask(todo: Todo, user_id: string, body: TaskInput, key: string): Promise<Task> {
  const { data, error } = await todo.POST("/api/{user_id}/tasks", {
    params: { path: { user_id }, header: { "Idempotency-Key": key } },
    body,
  });
  if (error) throw new TodoError(error);
  return data;
}

// Every task, page after page: `for await (const task of tasks(todo, userId, { completed: false })) ...`
export async function* tasks(todo: Todo, user_id: string, filter: Filter = {}): AsyncGenerator<Task> {
  const query = { ...filter };
  for (;;) {
    const { data, error, response } = await todo.GET("/api/{user_id}/tasks", { params: { path: { user_id }, query } });
    if (error) throw new TodoError(error);
    yield* data;
    const next = /<([^>]+)>; rel="next"/.exec(response.headers.get("Link") ?? "")?.[1];
    const cursor = next && new URL(next).searchParams.get("cursor");
    if (!cursor) return;
    query.cursor = cursor;
  }
}

// Writes only what was read: `etag` is the ETag of the answer that the person saw. Where the task has changed since,
// the answer is "changed" and nothing is written: read it again and ask.
export async function updateTask(
  todo: Todo,
  { user_id, id: task_id }: Task,
  etag: string,
  body: TaskInput,
): Promise<Task | "changed"> {
  const { data, error } = await todo.PUT("/api/{user_id}/tasks/{task_id}", {
    params: { path: { user_id, task_id }, header: { "If-Match": etag } },
    body,
  });
  if (error?.code === "precondition_failed") return "changed";
  if (error) throw new TodoError(error);
  return data;
}
