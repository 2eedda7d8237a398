// Signs in with a token that Better Auth issues for its own session in this browser.
(() => {
  const asking = document.getElementById("asking");
  const { tokenUrl, at } = asking.dataset;
  const said = asking.querySelector("[role=status]");
  const input = document.getElementById("token");

  const ask = async () => {
    said.textContent = `Asking ${at} …`;
    try {
      const answer = await fetch(tokenUrl, { credentials: "include" });
      if (answer.ok) {
        input.value = (await answer.json()).token;
        input.form.submit();
        return;
      }
      said.textContent =
        answer.status === 401
          ? `You are not signed in at ${at}. Sign in there, and then come back.`
          : `${at} gave no token: it answered ${answer.status}.`;
    } catch {
      said.textContent = `${at} cannot be asked from here.`;
    }
  };
  asking.querySelector("button").addEventListener("click", ask);
  if (!document.getElementById("error")) ask(); // If a token was refused, do not fetch another one automatically.
})();
