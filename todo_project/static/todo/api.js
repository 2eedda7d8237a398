// "Complete / reopen": flips the flag and shows the task anew, where DRF's own form would end on /complete.
const button = document.querySelector("[data-complete]");
if (button) {
  button.addEventListener("click", async () => {
    const { csrfToken } = JSON.parse(document.getElementById("drf_csrf").textContent);
    await fetch(button.dataset.complete, { method: "PATCH", headers: { "X-CSRFToken": csrfToken } });
    location.assign(button.dataset.complete.replace(/\/complete$/, ""));
  });
}
