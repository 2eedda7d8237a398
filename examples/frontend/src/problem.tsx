import { useEffect, useId, useState, type ComponentProps } from "react";
import { NetworkError, TodoError } from "./client.ts";

// Returns what went wrong and what to do, in words for the user.
export function say(error: unknown): string {
  if (error instanceof NetworkError && !navigator.onLine) return "You are offline. Try again when you are connected.";
  if (!(error instanceof TodoError)) return error instanceof Error ? error.message : String(error);
  if (error.code === "not_found") return "This task is not there any more: it was deleted elsewhere.";
  if (error.code === "internal_error") return `${error.message} It is ${error.problem?.request_id}.`;
  return error.message;
}

// Returns how many seconds of Retry-After are left.
export function useWait(error: unknown): number {
  const [left, setLeft] = useState(0);
  useEffect(() => {
    const end = Date.now() + 1000 * ((error instanceof TodoError && error.retryAfter) || 0);
    const tick = () => setLeft(Math.max(0, Math.ceil((end - Date.now()) / 1000)));
    tick();
    const timer = setInterval(tick, 200);
    return () => clearInterval(timer);
  }, [error]);
  return left;
}

export function Problem({ error, retry }: { error: unknown; retry?: () => void }) {
  const wait = useWait(error);
  if (!error) return null;
  return (
    <div className="problem">
      <p role="alert">{say(error)}</p>
      {retry && (
        <button type="button" disabled={wait > 0} onClick={retry}>
          {wait ? `Try again in ${wait} s` : "Try again"}
        </button>
      )}
    </div>
  );
}

type FieldProps = { label: string; error?: string | undefined; multiline?: boolean };

// A form field with its label and its error message.
export function Field({ label, error, multiline, ...rest }: FieldProps & ComponentProps<"input">) {
  const id = useId();
  const shared = { id, "aria-invalid": !!error, "aria-describedby": error ? `${id}-error` : undefined };
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {multiline ? (
        <textarea rows={4} {...(rest as ComponentProps<"textarea">)} {...shared} />
      ) : (
        <input {...rest} {...shared} />
      )}
      {error && (
        <p className="field-error" id={`${id}-error`} role="alert">
          {error}
        </p>
      )}
    </div>
  );
}
