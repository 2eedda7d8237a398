// Runs the client against a live server; tests/test_client.py starts both servers and signs a person up.
import { etag, NetworkError, todoClient, TodoError, type Problem, type Task } from "./client.js";

declare const process: { env: Record<string, string> };
const { TODO_URL = "", AUTH_URL = "", SESSION = "", EXPIRED_TOKEN = "", USER_ID = "" } = process.env;

function same(actual: unknown, expected: unknown): void {
  const [is, wanted] = [actual, expected].map((value) => JSON.stringify(value));
  if (is !== wanted) throw new Error(`${is} and not ${wanted}`);
}

async function failure(done: Promise<unknown>): Promise<unknown> {
  return done.then(
    (value) => Promise.reject(new Error(`It succeeded: ${JSON.stringify(value)}`)),
    (error: unknown) => error,
  );
}

async function refusal(done: Promise<unknown>, status: number, code: Problem["code"]): Promise<TodoError> {
  const error = await failure(done);
  if (!(error instanceof TodoError)) throw error;
  const { problem } = error;
  same([problem?.status, problem?.code, problem?.type], [status, code, `/docs#${code}`]);
  same([error.code, error.message], [code, problem?.detail]);
  return error;
}

// As the frontend's own: the first token has expired, so the client has to ask for another.
let asked = 0;
async function freshToken(): Promise<string> {
  if (asked++ === 0) return EXPIRED_TOKEN;
  const answer = await fetch(`${AUTH_URL}/api/auth/token`, { headers: { Authorization: `Bearer ${SESSION}` } });
  return (await answer.json()).token;
}
const todo = todoClient(TODO_URL, USER_ID, freshToken);

// Nothing there yet; the expired token was renewed on the way, once for all requests.
const empty = { tasks: [], next: undefined };
same(await Promise.all([todo.page(), todo.page(), todo.page({ search: "" })]), [empty, empty, empty]);
for await (const task of todo.list()) same(task, "none");
same(asked, 2);

// Two creates with one key are one task, and other values are refused.
const key = crypto.randomUUID();
const [milk, twin] = await Promise.all([todo.create({ title: "Milk" }, key), todo.create({ title: "Milk" }, key)]);
same(twin, milk);
same([milk.title, milk.description, milk.completed, milk.user_id], ["Milk", null, false, USER_ID]);
const reused = await refusal(todo.create({ title: "Bread" }, key), 422, "idempotency_key_reused");
same(reused.problem?.errors?.map(({ header }) => header), ["Idempotency-Key"]);
same(reused.fields, {});

// What is wrong is said by field.
const wrong = await refusal(
  todo.create({ title: " ", description: "x".repeat(5001) }, crypto.randomUUID()),
  422,
  "validation_error",
);
same(wrong.fields, { title: "This field may not be blank.", description: "At most 5000 characters." });

// The list, over three pages; a page by itself leads to the next.
for (const title of ["One", "Two", "Three", "Four"]) await todo.create({ title }, crypto.randomUUID());
const listed: Task[] = [];
for await (const task of todo.list({ limit: 2, completed: false })) listed.push(task);
same(listed.map(({ title }) => title), ["Four", "Three", "Two", "One", "Milk"]);
const first = await todo.page({ limit: 3 });
const second = await todo.page({ limit: 3, ...(first.next ? { cursor: first.next } : {}) });
same([first.tasks, second.tasks, second.next], [listed.slice(0, 3), listed.slice(3), undefined]);
const refused = await refusal(todo.page({ limit: 0 }), 422, "validation_error");
same(refused.problem?.errors?.map(({ parameter }) => parameter), ["limit"]);

// What is still current is not sent again.
const read = await todo.read(milk.id);
same(read, milk);
same((await todo.read(milk.id, milk)) === milk, true);

// A task of the list is written by its own tag. The first of two who read the same state writes; the second is told.
const seen = listed.at(-1)!;
const written = await todo.update(seen, { title: "Oat milk", description: "Two litres" });
same([written.title, written.description, written.completed], ["Oat milk", "Two litres", false]);
same(await todo.read(milk.id, milk), written);
await refusal(todo.update(seen, { title: "Soy milk" }), 412, "precondition_failed");
await refusal(todo.delete(seen), 412, "precondition_failed");
same(await todo.read(milk.id), written);
same(etag(seen) === etag(written), false);

// Completing can be sent again.
for (const _ of [1, 2]) {
  const done = await todo.complete(milk, true);
  same([done.title, done.completed], ["Oat milk", true]);
}
const open = await todo.complete(milk, false);
same([open.title, open.completed], ["Oat milk", false]);

// Deleted with the current tag, then gone.
same((await todo.delete(open)) ?? null, null);
await refusal(todo.read(milk.id), 404, "not_found");

// Somebody else's path.
await refusal(todoClient(TODO_URL, "bob", freshToken).page(), 403, "permission_denied");
same(asked, 3);

// A token that stays expired is renewed once and no more; a failure to get one is the caller's own, and is not kept.
let given = 0;
const expired = todoClient(TODO_URL, USER_ID, async () => (given++, EXPIRED_TOKEN));
await refusal(expired.page(), 401, "token_expired");
same(given, 2);
let failed = false;
const flaky = todoClient(TODO_URL, USER_ID, async () => {
  if (failed) return freshToken();
  failed = true;
  throw new Error("no token");
});
same(String(await failure(flaky.page())), "Error: no token");
same((await flaky.page()).tasks.length, 4);

// No answer is told apart from an answer, and from one of something in between; a call that was given up is neither.
const nobody = await failure(todoClient("http://127.0.0.1:1", USER_ID, freshToken).page());
same(nobody instanceof NetworkError, true);
// Another server's JSON with 404, and a page with 200.
for (const [url, status] of [[AUTH_URL, 404], [`${TODO_URL}/docs#`, 200]] as const) {
  const error = await failure(todoClient(url, USER_ID, freshToken).page());
  if (!(error instanceof TodoError)) throw error;
  same([error.problem ?? null, error.message.includes(`(${status})`)], [null, true]);
}
const givenUp = await failure(todo.page({}, AbortSignal.abort()));
same((givenUp as Error).name, "AbortError");
console.log("done");
