import { useMemo, useState, useSyncExternalStore, type FormEvent } from "react";
import { auth, freshToken } from "./auth.ts";
import { todoClient } from "./client.ts";
import { Field, Problem } from "./problem.tsx";
import { Tasks } from "./Tasks.tsx";

const API = import.meta.env.VITE_TODO_URL ?? "http://127.0.0.1:8000";

type Person = { id: string; name: string };

export function App() {
  const { data, error, isPending, refetch } = auth.useSession();
  const [person, setPerson] = useState<Person>();
  // If the session ends, the user's view stays mounted but hidden until the next sign-in: no typed text is lost.
  if (data && data.user.id !== person?.id) setPerson(data.user);
  const online = useOnline();

  return (
    <>
      {!online && (
        <p className="offline" role="status">
          You are offline. What you type stays here.
        </p>
      )}
      {person && (
        <div hidden={!data}>
          <SignedIn key={person.id} person={person} refetch={refetch} />
        </div>
      )}
      {!data && (
        <main className="narrow">
          <h1>Todo</h1>
          {isPending ? (
            <p>Loading …</p>
          ) : error ? (
            <Problem error={new Error("The sign-in service did not answer.")} retry={refetch} />
          ) : (
            <SignIn again={!!person} />
          )}
        </main>
      )}
    </>
  );
}

function SignedIn({ person, refetch }: { person: Person; refetch: () => void }) {
  const [problem, setProblem] = useState<unknown>();
  const todo = useMemo(() => todoClient(API, person.id, () => freshToken(refetch)), [person.id, refetch]);

  async function signOut() {
    try {
      const { error } = await auth.signOut();
      if (error) throw new Error(error.message);
      location.reload(); // discards the token and everything on the page
    } catch {
      setProblem(new Error("You are still signed in: the sign-in service did not answer. Try again."));
    }
  }

  return (
    <>
      <header>
        <h1>Todo</h1>
        <span className="person">{person.name}</span>
        <button type="button" onClick={signOut}>
          Sign out
        </button>
      </header>
      <main>
        <Problem error={problem} />
        <Tasks todo={todo} />
      </main>
    </>
  );
}

function SignIn({ again }: { again: boolean }) {
  const [isNew, setIsNew] = useState(!again);
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<unknown>();

  async function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const [name, email, password] = ["name", "email", "password"].map((field) => String(form.get(field) ?? ""));
    const given = { name: name!, email: email!, password: password! };
    setBusy(true);
    setProblem(undefined);
    try {
      const { error } = await (isNew ? auth.signUp.email(given) : auth.signIn.email(given));
      if (error) setProblem(new Error(error.message || "The sign-in service did not answer. Try again in a moment."));
    } catch {
      setProblem(new Error("The sign-in service did not answer. Check the connection and try again."));
    }
    setBusy(false);
  }

  return (
    <form className="card" onSubmit={submit}>
      <h2>{isNew ? "Create an account" : "Sign in"}</h2>
      {again && <p>You have been signed out. What you typed is still there when you sign in again.</p>}
      {isNew && <Field label="Name" name="name" autoComplete="name" required />}
      <Field label="Email" name="email" type="email" autoComplete="email" required />
      <Field
        label={isNew ? "Password, at least 8 characters" : "Password"}
        name="password"
        type="password"
        autoComplete={isNew ? "new-password" : "current-password"}
        minLength={8}
        required
      />
      <Problem error={problem} />
      <button className="primary" disabled={busy}>
        {isNew ? "Create account" : "Sign in"}
      </button>
      <button
        type="button"
        className="link"
        onClick={() => {
          setIsNew(!isNew);
          setProblem(undefined);
        }}
      >
        {isNew ? "I have an account: sign in" : "I am new here: create an account"}
      </button>
    </form>
  );
}

function useOnline(): boolean {
  return useSyncExternalStore(
    (changed) => {
      addEventListener("online", changed);
      addEventListener("offline", changed);
      return () => {
        removeEventListener("online", changed);
        removeEventListener("offline", changed);
      };
    },
    () => navigator.onLine,
  );
}
