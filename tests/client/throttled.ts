// Runs the client against a live server that takes few requests a second or a minute; tests/test_client.py starts it.
import { todoClient, TodoError } from "./client.js";

declare const process: { env: Record<string, string> };
const { TODO_URL = "", TOKEN = "", USER_ID = "" } = process.env;
const todo = todoClient(TODO_URL, USER_ID, async () => TOKEN);

// What happened, how long it took, and what a person was told.
async function tried(done: Promise<unknown>): Promise<unknown> {
  const began = performance.now();
  const error = await done.then(
    () => undefined,
    (error: unknown) => (error instanceof TodoError ? error : Promise.reject(error)),
  );
  return { code: error?.code, retryAfter: error?.retryAfter, waited: (performance.now() - began) / 1000 };
}

const milk = await todo.create({ title: "Milk" }, crypto.randomUUID());
const again = await tried(todo.create({ title: "Bread" }, crypto.randomUUID()));
const withTag = await tried(todo.update(milk, { title: "Oat milk" }));
console.log(JSON.stringify([again, withTag]));
