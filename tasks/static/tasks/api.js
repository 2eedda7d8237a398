// What the pages need a script for: to send methods that HTML forms do not have, show the response in place, keep typed
// text until it is saved, and show times in the user's time zone.

// Typed text is kept in this tab only, for the user who typed it: {user, forms: {"<path> <form>": [[name, value]]}}.
const KEPT = "todo.typed";
const TYPED = "#fields, #raw, #search"; // The forms that people type into.

function kept() {
  try {
    const { user, forms } = JSON.parse(sessionStorage.getItem(KEPT));
    if (user === document.body.dataset.user) return forms;
    if (document.body.dataset.user) sessionStorage.removeItem(KEPT);
  } catch {}
  return {};
}

function keep(form, fields) {
  const forms = kept();
  const { user } = document.body.dataset;
  forms[`${location.pathname} ${form.id}`] = fields; // JSON leaves out what is undefined.
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ user, forms }));
  } catch {} // The tab may keep nothing, or no more.
}

// The filters of a search are those of the page.
const fieldsOf = (form) =>
  [...new FormData(form)].filter(([name]) => name !== "csrfmiddlewaretoken" && (form.id !== "search" || name === "search"));
const valueName = (field) => (field.type === "checkbox" ? "checked" : "value");
const valueOf = (field) => field[valueName(field)];
const shownValue = (field) => (field.type === "checkbox" ? field.defaultChecked : (field.defaultValue ?? field.value));
const isAsShown = (field) => valueOf(field) === shownValue(field);

function restore(form) {
  const fields = kept()[`${location.pathname} ${form.id}`];
  if (!fields) return;
  const typed = new Map(fields);
  const now = new Map(fieldsOf(form));
  // If nobody else has changed the fields that the user edited, the form shows the current task, else the old one.
  const names = [...form.elements].map((field) => field.name);
  const edited = names.filter(
    (name) => names.includes(`shown.${name}`) && typed.get(name) !== typed.get(`shown.${name}`),
  );
  const current = edited.length && edited.every((name) => typed.get(`shown.${name}`) === now.get(`shown.${name}`));
  for (const field of form.elements) {
    if (!field.name || field.name === "csrfmiddlewaretoken" || (current && !edited.includes(field.name))) continue;
    if (field.type === "checkbox") field.checked = typed.has(field.name);
    else if (typed.has(field.name)) field.value = typed.get(field.name);
  }
  if ([...form.elements].every(isAsShown)) return; // The form is as the page shows it.
  form.closest("details")?.setAttribute("open", "");
  form.querySelector(".restored")?.removeAttribute("hidden");
}

function ready(sent) {
  document.querySelectorAll("button[disabled]").forEach((button) => (button.disabled = false));
  document.querySelectorAll(TYPED).forEach((form) => form.id === sent || restore(form));
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    const today = at.toDateString() === new Date().toDateString();
    if (today) time.textContent = at.toLocaleTimeString([], { timeStyle: "short" });
    else if (time.closest("li")) time.textContent = at.toLocaleDateString([], { dateStyle: "medium" });
    else time.textContent = at.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    time.title = at.toLocaleString();
  }
}

// Screen readers announce a message that changes, but not one that is loaded with its page.
function announce(message) {
  const said = [...message.childNodes];
  message.replaceChildren();
  requestAnimationFrame(() => message.replaceChildren(...said));
}

function show(page, url, form, ok) {
  // What was typed since the form was sent, or is in another form, goes on to the new page with the cursor.
  const { activeElement: active } = document;
  const typed = [...document.querySelectorAll(`:is(${TYPED}) [name]:not([hidden] *)`)].filter(
    (field) => valueOf(field) !== (field.sent ?? shownValue(field)),
  );
  const successor = ({ form, name }) => {
    const now = document.getElementById(form?.id);
    return now?.dataset.method === form?.dataset.method && now?.elements[name];
  };
  const developers = page.querySelector(".developers");
  if (developers) developers.open = document.querySelector(".developers").open;
  document.body.replaceWith(page.body);
  document.title = page.title;
  history.replaceState(null, "", url);
  ready(form.id);
  const again = document.getElementById(form.id);
  for (const field of typed) if (successor(field)) successor(field)[valueName(field)] = valueOf(field);
  if (again && typed.some((field) => field.form.id === form.id)) keep(again, fieldsOf(again));
  const message = document.querySelector("main [role=alert], main [role=status]");
  const invalid = document.querySelector("[aria-invalid]");
  const next = again?.querySelector(form.dataset.method === "POST" ? "[name=title], [name=_content]" : "button");
  const goesOn = successor(active) && (typed.includes(active) || active.form.id !== form.id);
  if (message && (goesOn || (ok && next))) announce(message);
  if (goesOn) {
    successor(active).focus({ preventScroll: true });
    if (active.selectionStart !== null) successor(active).setSelectionRange(active.selectionStart, active.selectionEnd);
    return again;
  }
  if (ok && next) next.focus({ preventScroll: true });
  else (invalid ?? message ?? next)?.focus();
  if (form.dataset.method !== "PATCH") scrollTo(0, 0);
  return again;
}

// Shows an error beside the form that was sent, which keeps what was typed.
function say(form, ...said) {
  document.querySelector("main [role=status]")?.remove(); // It is about an earlier write.
  const problem = document.getElementById("problem");
  (document.getElementById(form.id) ?? document.querySelector("h1")).before(problem);
  problem.replaceChildren(...said);
  problem.hidden = false;
  problem.scrollIntoView({ block: "nearest" });
}

async function send(form, fields) {
  const { method } = form.dataset;
  const { csrf } = document.body.dataset;
  const headers = { Accept: "text/html", "X-CSRFToken": csrf };
  for (const name of ["If-Match", "Idempotency-Key"]) {
    if (fields.has(name)) headers[name] = fields.get(name);
    fields.delete(name);
  }
  const raw = fields.get("_content");
  if (raw !== null) headers["Content-Type"] = "application/json";
  const body = raw ?? ([...fields].length ? fields : undefined);

  // The page may have been shown anew since the button was pressed.
  for (const field of document.getElementById(form.id)?.elements ?? []) field.sent = form.elements[field.name]?.sent;

  let answer, text;
  try {
    answer = await fetch(form.action, { method, headers, body, signal: AbortSignal.timeout(60_000) });
    text = await answer.text();
  } catch {
    say(form, "There was no answer. Nothing that you typed is lost: try again.");
    return;
  }
  const page = new DOMParser().parseFromString(text, "text/html");
  if (answer.ok && page.body.dataset.user) {
    keep(form, undefined);
    show(page, answer.url, form, true);
    return;
  }
  if (answer.ok && answer.redirected) {
    location.assign(answer.url); // The sign-in ended after the write.
    return;
  }
  const again = page.getElementById(form.id);
  if (answer.status === 412 || (answer.status === 422 && raw === null && again)) {
    if (raw !== null && again) again.elements._content.value = raw;
    const shown = show(page, location.href, form, false);
    if (shown?.matches("#fields, #raw")) {
      shown.dataset.refused = "";
      keep(shown, fieldsOf(shown));
    }
    return;
  }
  // If the key was used up, the response has a new one.
  const key = again?.elements["Idempotency-Key"];
  if (key) form.elements["Idempotency-Key"].value = key.value;
  const detail = page.querySelector(".problem");
  const status = detail?.dataset.status ?? page.querySelector("h1")?.textContent ?? `${answer.status} ${page.title}`;
  say(form, status, ...(detail ? [": ", ...detail.childNodes] : []));
  if (answer.status === 401) document.querySelector("#problem a")?.after(". What you typed is kept in this tab until then.");
}

let last; // Requests are sent one after another, so that a late response cannot show a list from before a later write.

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.id === "search") keep(form, undefined);
  if (!form.dataset.method) return;
  event.preventDefault();
  if (form.dataset.ask && !confirm(form.dataset.ask)) return;
  const button = form.querySelector("button");
  button.disabled = true; // A second press must not send the form again.
  const fields = new FormData(form);
  for (const field of form.elements) field.sent = valueOf(field);
  last = Promise.allSettled([last]).then(() => send(form, fields));
  await last;
  button.disabled = false;
  if (button.isConnected && document.activeElement === document.body) button.focus({ preventScroll: true });
});

document.addEventListener("input", ({ target: { form } }) => {
  if (!form?.matches(TYPED)) return;
  const saved = !("refused" in form.dataset) && [...form.elements].every(isAsShown);
  keep(form, saved ? undefined : fieldsOf(form));
});

document.addEventListener("click", (event) => {
  const { target } = event;
  // The second click of a double click must not press a button that has come to its place since the first.
  if (event.detail > 1 && target.closest("main button")) event.preventDefault();
  else if (target.matches(".restored button")) {
    keep(target.form, undefined);
    location.reload();
  } else if (target.matches(".filters a, .empty a")) {
    const form = document.querySelector("#search");
    keep(form, undefined);
    if (!target.closest("li") || isAsShown(form.elements.search)) return;
    // A search that was typed is sent with the filter.
    const address = new URL(target.href);
    address.searchParams.set("search", form.elements.search.value);
    target.href = address;
  }
});

// A page that is gone back to must not show what was before a later write, or to somebody who has signed out.
addEventListener("pageshow", ({ persisted }) => {
  const [{ type }] = performance.getEntriesByType("navigation");
  if ((persisted || type === "back_forward") && navigator.onLine) location.reload();
});

ready();
