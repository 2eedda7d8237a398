// Sends the forms whose method HTML does not know, and shows what comes back at the address it came from.
// Listens on the document and declares nothing: a page that is shown so runs this again in the same document.
document.querySelectorAll("button[disabled]").forEach((button) => (button.disabled = false));

document.addEventListener("submit", async (event) => {
  const form = event.target;
  const { method, ask } = form.dataset;
  if (!method) return;
  event.preventDefault();
  if (ask && !confirm(ask)) return;
  const button = form.querySelector("button");
  button.disabled = true; // A second press would meet the state that the first one made.

  const headers = { Accept: "text/html", [drf.csrfHeaderName]: drf.csrfToken };
  const fields = new FormData(form);
  for (const name of ["If-Match", "Idempotency-Key"]) {
    if (fields.has(name)) headers[name] = fields.get(name);
    fields.delete(name);
  }
  const raw = form.elements._content?.value;
  if (raw !== undefined) headers["Content-Type"] = form.elements._content_type.value;
  const body = raw ?? ([...fields].length ? fields : undefined);

  let said = "There was no answer. Nothing that you typed is lost: try again.";
  try {
    const answer = await fetch(form.action, { method, headers, body });
    const page = await answer.text();
    if (answer.ok || answer.status === 412 || answer.status === 422) {
      document.open();
      document.write(page);
      document.close();
      history.replaceState(null, "", answer.url);
      scrollTo(0, 0);
      const again = document.querySelector("[name=_content]");
      if (raw !== undefined && again && !answer.ok) again.value = raw;
      return;
    }
    // The form is not in such a page: what was typed stays where it is.
    const shown = new DOMParser().parseFromString(page, "text/html");
    said = shown.querySelector(".problem")?.textContent ?? `${answer.status} ${shown.title}`;
  } catch {}
  const problem = document.getElementById("problem");
  problem.textContent = said;
  problem.hidden = false;
  problem.scrollIntoView({ block: "center" });
  button.disabled = false;
});
