// Runs the client against a live server; tests/test_client.py starts both servers and signs a person up.
import { createTask, tasks, todoClient, TodoError, updateTask, type Problem } from "./client.js";

declare const process: { env: Record<string, string> };
const { TODO_URL = "", AUTH_URL = "", SESSION = "", EXPIRED_TOKEN = "", USER_ID: user_id = "" } = process.env;

function same(actual: unknown, expected: unknown): void {
  const [is, wanted] = [actual, expected].map((value) => JSON.stringify(value));
  if (is !== wanted) throw new Error(`${is} and not ${wanted}`);
}

function isProblem(problem: Problem | undefined, status: number, code: Problem["code"]): void {
  same([problem?.status, problem?.code, problem?.type], [status, code, `/docs#${code}`]);
}

// As the frontend's own: the first token has expired, so the client has to ask for another.
let asked = 0;
async function freshToken(): Promise<string> {
  if (asked++ === 0) return EXPIRED_TOKEN;
  const answer = await fetch(`${AUTH_URL}/api/auth/token`, { headers: { Authorization: `Bearer ${SESSION}` } });
  return (await answer.json()).token;
}
const todo = todoClient(TODO_URL, freshToken);

// Nothing there yet; the expired token was renewed on the way.
for await (const task of tasks(todo, user_id)) same(task, "none");
same(asked, 2);

// Two creates with one key are one task, and other values are refused.
const key = crypto.randomUUID();
const [milk, twin] = await Promise.all([
  createTask(todo, user_id, { title: "Milk" }, key),
  createTask(todo, user_id, { title: "Milk" }, key),
]);
same(twin, milk);
same([milk.title, milk.description, milk.completed, milk.user_id], ["Milk", null, false, user_id]);
try {
  await createTask(todo, user_id, { title: "Bread" }, key);
  same("created", "refused");
} catch (error) {
  if (!(error instanceof TodoError)) throw error;
  isProblem(error.problem, 422, "idempotency_key_reused");
  same(error.problem.errors?.map(({ header }) => header), ["Idempotency-Key"]);
}

// The list, over three pages.
for (const title of ["One", "Two", "Three", "Four"]) await createTask(todo, user_id, { title }, crypto.randomUUID());
const titles: string[] = [];
for await (const { title } of tasks(todo, user_id, { limit: 2, completed: false })) titles.push(title);
same(titles, ["Four", "Three", "Two", "One", "Milk"]);
const refused = await todo.GET("/api/{user_id}/tasks", { params: { path: { user_id }, query: { limit: 0 } } });
isProblem(refused.error, 422, "validation_error");
same(refused.error?.errors?.map(({ parameter }) => parameter), ["limit"]);

// A poll that finds nothing new has no body: neither data nor error.
const path = { user_id, task_id: milk.id };
const read = await todo.GET("/api/{user_id}/tasks/{task_id}", { params: { path } });
same(read.data, milk);
const etag = read.response.headers.get("ETag") ?? "";
const poll = await todo.GET("/api/{user_id}/tasks/{task_id}", { params: { path, header: { "If-None-Match": etag } } });
same([poll.response.status, poll.data ?? null, poll.error || null], [304, null, null]);

// The first of two who read the same state writes; the second is told.
const written = await updateTask(todo, milk, etag, { title: "Oat milk", description: "Two litres" });
if (written === "changed") throw new Error("The current tag was refused.");
same([written.title, written.description, written.completed], ["Oat milk", "Two litres", false]);
same(await updateTask(todo, milk, etag, { title: "Soy milk" }), "changed");
const stale = await todo.DELETE("/api/{user_id}/tasks/{task_id}", { params: { path, header: { "If-Match": etag } } });
isProblem(stale.error, 412, "precondition_failed");

// Completing can be sent again.
for (const _ of [1, 2]) {
  const done = await todo.PATCH("/api/{user_id}/tasks/{task_id}/complete", { params: { path }, body: { completed: true } });
  same([done.data?.title, done.data?.completed], ["Oat milk", true]);
}

// Deleted with the current tag, then gone.
const now = (await todo.GET("/api/{user_id}/tasks/{task_id}", { params: { path } })).response.headers.get("ETag") ?? "";
const gone = await todo.DELETE("/api/{user_id}/tasks/{task_id}", { params: { path, header: { "If-Match": now } } });
same([gone.response.status, gone.error ?? null], [204, null]);
isProblem((await todo.GET("/api/{user_id}/tasks/{task_id}", { params: { path } })).error, 404, "not_found");

// Somebody else's path.
isProblem((await todo.GET("/api/{user_id}/tasks", { params: { path: { user_id: "bob" } } })).error, 403, "permission_denied");
same(asked, 2);
console.log("done");
