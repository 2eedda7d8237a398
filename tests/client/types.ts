// Compiled and never run: a type that does not say what the API does fails to compile here.
import type { Filter, Problem, Task, TaskInput, TodoClient, TodoError } from "./client.js";
import type { components, operations } from "./todo-api.d.ts";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
type Is<T extends true> = T;
type Answers<O extends keyof operations> = operations[O]["responses"];
type Ok<O extends keyof operations> = Extract<keyof Answers<O>, 200 | 201 | 204 | 304>;
type Failed<O extends keyof operations> = Exclude<keyof Answers<O>, Ok<O>>;
type Every<O extends keyof operations> = { [S in keyof Answers<O>]: Answers<O>[S] }[keyof Answers<O>];
type Refusal<O extends keyof operations> = { [S in Failed<O>]: Answers<O>[S] }[Failed<O>];
// A header that is always there.
type Has<Name extends string> = { headers: { [N in Name]: string } };
type With<Name extends string, A> = A extends Has<Name> ? true : false;
type IsProblem<A> = A extends { content: infer C } ? Same<C, { "application/problem+json": Problem }> : false;
type Empty<A> = A extends { content?: never } ? true : false;
type All = keyof operations;
// For each operation by itself, so that no one's mistake is lost among the others.
type Each<T extends Record<All, true>> = T;

export type Assertions = [
  // Bodies: what is required, what may be null.
  Is<
    Same<
      Task,
      {
        id: number;
        title: string;
        description: string | null;
        completed: boolean;
        user_id: string;
        created_at: string;
        updated_at: string;
      }
    >
  >,
  Is<Same<TaskInput, { title: string; description?: string | null; completed?: boolean }>>,
  Is<
    Same<
      Problem,
      {
        type: string;
        title: string;
        status: number;
        detail: string;
        code: components["schemas"]["CodeEnum"];
        request_id: string;
        errors?: components["schemas"]["FieldProblem"][];
      }
    >
  >,
  Is<Same<string extends Problem["code"] ? true : false, false>>, // the codes that there are, not any string
  Is<
    Same<
      Filter,
      {
        completed?: boolean;
        cursor?: string;
        limit?: number;
        ordering?: "-created_at" | "created_at" | "-updated_at" | "updated_at" | "title" | "-title";
        search?: string;
      }
    >
  >,
  // Successes.
  Is<Same<Answers<"tasks_list">[200]["content"], { "application/json": Task[] }>>,
  Is<Same<Answers<"task_create">[201]["content"], { "application/json": Task }>>,
  Is<Same<Answers<"task_retrieve">[200]["content"], { "application/json": Task }>>,
  Is<Same<Answers<"task_update">[200]["content"], { "application/json": Task }>>,
  Is<Same<Answers<"task_complete">[200]["content"], { "application/json": Task }>>,
  Is<Same<Ok<"tasks_list" | "task_retrieve">, 200 | 304>>,
  Is<Same<Ok<"task_create">, 201>>,
  Is<Same<Ok<"task_update" | "task_complete">, 200>>,
  Is<Same<Ok<"task_destroy">, 204>>,
  Is<Empty<Answers<"tasks_list" | "task_retrieve">[304] | Answers<"task_destroy">[204]>>,
  // Refusals: every one is a problem, under its own media type.
  Each<{ [O in All]: IsProblem<Refusal<O>> }>,
  Is<Same<Failed<"tasks_list">, 400 | 401 | 403 | 404 | 406 | 422 | 429 | 500 | 503>>,
  Is<Same<Failed<"task_retrieve">, 400 | 401 | 403 | 404 | 406 | 429 | 500 | 503>>,
  Is<Same<Failed<"task_destroy">, 400 | 401 | 403 | 404 | 406 | 412 | 429 | 500 | 503>>,
  Is<Same<Failed<"task_create">, 400 | 401 | 403 | 404 | 406 | 413 | 415 | 422 | 429 | 500 | 503>>,
  Is<Same<Failed<"task_update">, 400 | 401 | 403 | 404 | 406 | 412 | 413 | 415 | 422 | 429 | 500 | 503>>,
  Is<Same<Failed<"task_complete">, Failed<"task_update">>>,
  // Headers.
  Each<{ [O in All]: With<"X-Request-ID" | "Cache-Control", Every<O>> }>,
  Each<{ [O in All]: With<"Vary", Answers<O>[Ok<O> & keyof Answers<O>]> }>,
  Each<{ [O in All]: With<"WWW-Authenticate", Answers<O>[401]> }>,
  Each<{ [O in All]: With<"Retry-After", Answers<O>[429] | Answers<O>[503]> }>,
  Is<With<"ETag", Answers<"tasks_list" | "task_retrieve">[200 | 304]>>,
  Is<With<"ETag", Answers<"task_update" | "task_complete">[200 | 412] | Answers<"task_destroy">[412]>>,
  Is<With<"ETag" | "Location", Answers<"task_create">[201]>>,
  Is<With<"Content-Location", Answers<"task_update">[200]>>,
  Is<Same<Answers<"tasks_list">[200]["headers"]["Link"], string | undefined>>, // not on the last page
];

// What a careless call would get wrong does not compile.
export async function mistakes(todo: TodoClient, error: TodoError): Promise<void> {
  const task = await todo.read(1);
  // @ts-expect-error The description may be null.
  task.description.length;
  // @ts-expect-error PUT needs a title.
  await todo.update(task, { completed: true });
  // @ts-expect-error A write needs the task that was seen, not its id alone.
  await todo.delete(task.id);
  // @ts-expect-error A create needs a key.
  await todo.create({ title: "Milk" });
  // @ts-expect-error A title is no number.
  await todo.create({ title: 1 }, "key");
  // @ts-expect-error There is no such order.
  await todo.page({ ordering: "id" });
  // @ts-expect-error A word is no boolean.
  await todo.complete(task, "yes");
  // @ts-expect-error A code that does not exist.
  if (error.code === "conflict") return;
  // @ts-expect-error There is no such field.
  error.fields.name;
  // @ts-expect-error The answer may be one of something in between, without a problem.
  error.problem.request_id;
}
