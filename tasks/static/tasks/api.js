// "Complete / reopen": flips the flag and shows the task anew, where DRF's own form would end on /complete.
// Listens on the document and declares nothing: DRF runs this again in the same document after each PUT.
document.addEventListener("click", async ({ target }) => {
  const path = target.dataset.complete;
  if (!path) return;
  target.disabled = true;
  const { csrfToken } = JSON.parse(document.getElementById("drf_csrf").textContent);
  await fetch(path, { method: "PATCH", headers: { "X-CSRFToken": csrfToken } });
  location.assign(path.replace(/\/complete$/, ""));
});
