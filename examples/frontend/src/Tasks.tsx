import { useEffect, useReducer, useRef, useState, type FormEvent } from "react";
import { TodoError, type Task, type TodoClient } from "./client.ts";
import { Field, Problem, useWait } from "./problem.tsx";
import { TaskItem } from "./TaskItem.tsx";

const PAGE = 50;
const SEARCH_PAUSE = 300; // milliseconds
const UNDO_TIME = 6000; // milliseconds
const VIEWS = { all: "All", open: "Open", completed: "Completed" };
type View = keyof typeof VIEWS;

export function Tasks({ todo }: { todo: TodoClient }) {
  const [view, setView] = useState<View>("all");
  const [typed, setTyped] = useState("");
  const [search, setSearch] = useState("");
  const [tasks, setTasks] = useState<Task[]>();
  const [next, setNext] = useState<string>();
  const [loaded, setLoaded] = useState(""); // the view and search that `tasks` belong to
  const [loading, setLoading] = useState(true);
  const [problem, setProblem] = useState<{ error: unknown; cursor: string | undefined }>();
  const [refused, setRefused] = useState<unknown>(); // the error of a failed delete
  const [said, setSaid] = useState("");
  const request = useRef<AbortController>(undefined);
  const heading = useRef<HTMLHeadingElement>(null);
  const [reloads, reload] = useReducer((before: number) => before + 1, 0);
  const list = `${view} ${search}`;

  async function load(cursor?: string) {
    request.current?.abort();
    const { signal } = (request.current = new AbortController());
    setLoading(true);
    setProblem(undefined);
    try {
      const page = await todo.page(
        {
          limit: PAGE,
          ...(search && { search }),
          ...(view !== "all" && { completed: view === "completed" }),
          ...(cursor && { cursor }),
        },
        signal,
      );
      setTasks((before) => (cursor ? without(before, ...page.tasks).concat(page.tasks) : page.tasks));
      setNext(page.next);
      setLoaded(list);
    } catch (error) {
      if (!signal.aborted) setProblem({ error, cursor });
    }
    if (!signal.aborted) setLoading(false);
  }

  useEffect(() => {
    const timer = setTimeout(() => setSearch(typed.trim()), SEARCH_PAUSE);
    return () => clearTimeout(timer);
  }, [typed]);

  useEffect(() => {
    void load();
    return () => request.current?.abort();
  }, [todo, list, reloads]);

  // Retries automatically after Retry-After, or when the browser is online again.
  const retry = () => void load(problem?.cursor);
  useEffect(() => {
    if (!problem) return;
    const wait = problem.error instanceof TodoError && problem.error.retryAfter;
    const timer = wait ? setTimeout(retry, 1000 * wait) : undefined;
    addEventListener("online", retry);
    return () => {
      clearTimeout(timer);
      removeEventListener("online", retry);
    };
  }, [problem]);

  function added(task: Task) {
    setSaid(`Added “${task.title}”.`);
    if (view === "completed" || search) {
      setTyped("");
      setSearch("");
      setView("all"); // the new task is visible there
    } else if (loading) {
      reload();
    } else {
      setTasks((before) => [task, ...without(before, task)]);
    }
  }

  function changed(task: Task) {
    setTasks((before) => before?.map((other) => (other.id === task.id ? task : other)));
  }

  // A deleted task disappears from the list at once, but the request is sent only when the time to undo is over.
  const [gone, setGone] = useState<number[]>([]);
  const [undoable, setUndoable] = useState<Task>();
  const pending = useRef<{ task: Task; timer: number }>(undefined);

  function remove(task: Task) {
    sendDelete();
    pending.current = { task, timer: window.setTimeout(sendDelete, UNDO_TIME) };
    setGone((before) => [...before, task.id]);
    setUndoable(task);
    setRefused(undefined);
  }

  function undo() {
    if (!pending.current) return;
    const { task, timer } = pending.current;
    clearTimeout(timer);
    pending.current = undefined;
    setGone((before) => before.filter((id) => id !== task.id));
    setUndoable(undefined);
    heading.current?.focus();
  }

  async function sendDelete() {
    if (!pending.current) return;
    const { task, timer } = pending.current;
    clearTimeout(timer);
    pending.current = undefined;
    if (document.activeElement?.closest(".toast")) heading.current?.focus();
    setUndoable(undefined);
    try {
      await todo.delete(task);
      setTasks((before) => without(before, task));
      setSaid(`Deleted “${task.title}”.`);
    } catch (error) {
      if (error instanceof TodoError && error.code === "not_found") {
        setTasks((before) => without(before, task));
      } else if (error instanceof TodoError && error.code === "precondition_failed") {
        setRefused(new Error(`“${task.title}” was not deleted, since it has changed meanwhile. Look at it again.`));
        reload(); // of the list that is shown by now
      } else {
        setRefused(error);
      }
    }
    setGone((before) => before.filter((id) => id !== task.id));
  }
  // Leaving the page ends the time to undo.
  useEffect(() => {
    addEventListener("pagehide", sendDelete);
    return () => {
      removeEventListener("pagehide", sendDelete);
      void sendDelete();
    };
  }, []);

  const shown = tasks?.filter(({ id }) => !gone.includes(id));
  return (
    <>
      <AddTask todo={todo} onAdded={added} />
      <section aria-labelledby="tasks">
        <div className="toolbar">
          <h2 id="tasks" ref={heading} tabIndex={-1}>
            Tasks
          </h2>
          <div className="views" role="group" aria-label="Which tasks">
            {(Object.keys(VIEWS) as View[]).map((name) => (
              <button key={name} type="button" aria-pressed={view === name} onClick={() => setView(name)}>
                {VIEWS[name]}
              </button>
            ))}
          </div>
          <input
            type="search"
            aria-label="Search"
            placeholder="Search"
            value={typed}
            onChange={(event) => setTyped(event.target.value)}
          />
        </div>
        <Problem error={refused} />
        {shown && (
          <ul className="tasks" aria-busy={loading} hidden={!!problem && loaded !== list}>
            {shown.map((task) => (
              <TaskItem key={task.id} task={task} todo={todo} onChange={changed} onDelete={remove} />
            ))}
          </ul>
        )}
        {!loading && !problem && !shown?.length && !next && <p className="empty">{emptyText(view, search)}</p>}
        {loading && !shown?.length && <p className="empty">Loading …</p>}
        <Problem error={problem?.error} retry={retry} />
        {next && !problem && (
          <button type="button" className="more" disabled={loading} onClick={() => void load(next)}>
            {loading ? "Loading …" : "Show more"}
          </button>
        )}
      </section>
      <p className="visually-hidden" role="status">
        {said}
      </p>
      {undoable && (
        <div className="toast" role="status" key={undoable.id}>
          <span>Deleting “{undoable.title}”</span>
          <button type="button" autoFocus onClick={undo}>
            Undo
          </button>
        </div>
      )}
    </>
  );
}

function without(tasks: Task[] | undefined, ...others: Task[]): Task[] {
  const ids = new Set(others.map(({ id }) => id));
  return (tasks ?? []).filter(({ id }) => !ids.has(id));
}

function emptyText(view: View, search: string): string {
  if (search) return `No task has “${search}” in it.`;
  if (view === "open") return "Nothing is open. Well done.";
  if (view === "completed") return "Nothing is completed yet.";
  return "No tasks yet. Add the first one above.";
}

function AddTask({ todo, onAdded }: { todo: TodoClient; onAdded: (task: Task) => void }) {
  const [title, setTitle] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const wait = useWait(problem);
  // The idempotency key is kept until a response comes, so that retrying after a lost connection creates only one task.
  const sent = useRef<{ title: string; key: string }>(undefined);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (busy || wait) return;
    if (sent.current?.title !== title) sent.current = { title, key: crypto.randomUUID() };
    setBusy(true);
    setProblem(undefined);
    try {
      onAdded(await todo.create({ title }, sent.current.key));
      sent.current = undefined;
      setTitle("");
    } catch (error) {
      setProblem(error);
    }
    setBusy(false);
  }

  const wrong = problem instanceof TodoError ? problem.fields.title : undefined;
  return (
    <form className="card add" onSubmit={submit}>
      <Field
        label="New task"
        value={title}
        readOnly={busy}
        error={wrong}
        onChange={(event) => setTitle(event.target.value)}
      />
      <button className="primary" disabled={busy || wait > 0}>
        {wait ? `Wait ${wait} s` : problem && !wrong ? "Try again" : "Add"}
      </button>
      {!wrong && <Problem error={problem} />}
    </form>
  );
}
