// Signing out removes what the pages keep in this tab: text that was typed, and the documentation's token.
document.addEventListener("submit", ({ target }) => {
  if (target.id === "sign-out") for (const key of ["todo.typed", "todo-token"]) sessionStorage.removeItem(key);
});
