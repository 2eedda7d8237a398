// Renews the sign-in two minutes before it ends, since a hidden tab may wake a minute late, as long as the same person is
// signed in here and has a session at Better Auth.
(() => {
  const { tokenUrl, login, csrf, subject, expires } = document.currentScript.dataset;
  let ends = Number(expires) * 1000;

  const wait = () => {
    const left = ends - Date.now();
    // With less time left, as after a failed attempt, wait for half of it.
    if (left > 0) setTimeout(renew, Math.min(Math.max(left - 120_000, left / 2, 1000), 2 ** 31 - 1));
  };
  const renew = async () => {
    try {
      const answer = await fetch(tokenUrl, { credentials: "include" });
      if (answer.status === 401) return; // The session has ended, so let the sign-in end too.
      const { token } = await answer.json();
      const { sub, exp } = tokenClaims(token);
      if (sub !== subject) return;
      const body = new URLSearchParams({ token, renew: "", csrfmiddlewaretoken: csrf });
      const signedIn = await fetch(login, { method: "POST", body, redirect: "manual" });
      if (signedIn.status === 401) return; // The person has signed out in another tab, or somebody else has signed in.
      if (signedIn.type === "opaqueredirect") ends = exp * 1000;
    } catch {}
    wait();
  };
  wait();
})();
