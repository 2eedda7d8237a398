import { useEffect, useRef, useState, type FormEvent } from "react";
import { TodoError, type Task, type TodoClient } from "./client.ts";
import { Field, Problem, useWait } from "./problem.tsx";

type Props = { task: Task; todo: TodoClient; onChange: (task: Task) => void; onDelete: (task: Task) => void };

export function TaskItem({ task, todo, onChange, onDelete }: Props) {
  const [editing, setEditing] = useState(false);
  const [wanted, setWanted] = useState<boolean>(); // the new state, shown while the request is running
  const [problem, setProblem] = useState<unknown>();
  const edit = useRef<HTMLButtonElement>(null);
  const wasEditing = useRef(false);
  const completed = wanted ?? task.completed;

  useEffect(() => {
    if (wasEditing.current && !editing) edit.current?.focus();
    wasEditing.current = editing;
  }, [editing]);

  async function complete() {
    if (wanted !== undefined) return;
    setWanted(!completed);
    setProblem(undefined);
    try {
      onChange(await todo.complete(task, !completed));
    } catch (error) {
      setProblem(error);
    }
    setWanted(undefined);
  }

  if (editing) {
    return (
      <li className="card">
        <Editor task={task} todo={todo} onSaved={onChange} onClose={() => setEditing(false)} />
      </li>
    );
  }
  return (
    <li className={completed ? "card task done" : "card task"}>
      <label>
        <input type="checkbox" checked={completed} onChange={complete} />
        <span className="title">{task.title}</span>
      </label>
      <div className="actions">
        <button type="button" ref={edit} aria-label={`Edit ${task.title}`} onClick={() => setEditing(true)}>
          Edit
        </button>
        <button type="button" aria-label={`Delete ${task.title}`} onClick={() => onDelete(task)}>
          Delete
        </button>
      </div>
      {task.description && <p className="description">{task.description}</p>}
      <Problem error={problem} />
    </li>
  );
}

type EditorProps = { task: Task; todo: TodoClient; onSaved: (task: Task) => void; onClose: () => void };

function Editor({ task, todo, onSaved, onClose }: EditorProps) {
  const [seen] = useState(task); // the task as it was when the editor opened
  const [title, setTitle] = useState(seen.title);
  const [description, setDescription] = useState(seen.description ?? "");
  const [stored, setStored] = useState<Task>(); // after a conflict, the task as it is stored now
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>();
  const wait = useWait(problem);

  function done(saved: Task) {
    onSaved(saved);
    onClose();
  }

  // Replaces `base`, but nothing newer. A description that was not edited is not sent, so not one byte of it changes.
  async function save(base: Task): Promise<void> {
    const edited = stored || description !== (seen.description ?? "");
    try {
      return done(await todo.update(base, { title, ...(edited && { description: description || null }) }));
    } catch (error) {
      if (!(error instanceof TodoError && error.code === "precondition_failed")) throw error;
    }
    const current = await todo.read(task.id);
    if (sameText(current, { title, description })) return done(current); // a save whose response was lost
    if (sameText(current, base)) return save(current); // it was only completed or reopened
    setStored(current);
  }

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (busy || wait) return;
    setBusy(true);
    setProblem(undefined);
    await save(stored ?? seen).catch(setProblem);
    setBusy(false);
  }

  const fields: TodoError["fields"] = problem instanceof TodoError ? problem.fields : {};
  const shownByField = Object.keys(fields).length > 0;
  return (
    <form
      className="editor"
      aria-label={`Edit ${seen.title}`}
      onSubmit={submit}
      onKeyDown={(event) => event.key === "Escape" && onClose()}
    >
      {stored && (
        <div className="conflict" role="alert">
          <p>This task was changed elsewhere while you were editing. Nothing is overwritten until you choose.</p>
          <h3>Stored now</h3>
          <p className="title">{stored.title}</p>
          <p className="description">{stored.description || "No description"}</p>
          <button type="button" onClick={() => done(stored)}>
            Keep the stored version
          </button>
        </div>
      )}
      {stored && <h3>Yours</h3>}
      <Field
        label="Title"
        autoFocus
        value={title}
        error={fields.title}
        onChange={(event) => setTitle(event.target.value)}
      />
      <Field
        label="Description"
        multiline
        value={description}
        error={fields.description}
        onChange={(event) => setDescription(event.target.value)}
      />
      {!shownByField && <Problem error={problem} />}
      <div className="actions">
        <button className="primary" disabled={busy || wait > 0}>
          {wait ? `Wait ${wait} s` : stored ? "Save your version" : "Save"}
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </form>
  );
}

type Text = { title: string; description: string | null };

function sameText(a: Text, b: Text): boolean {
  return a.title === b.title.trim() && (a.description ?? "") === (b.description ?? "");
}
