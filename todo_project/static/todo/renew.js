// Renews the sign-in a minute before it ends, for as long as the same person has a session at Better Auth.
(() => {
  const { tokenUrl, login, csrf, subject, expires } = document.currentScript.dataset;
  let ends = Number(expires) * 1000;

  const wait = () => {
    const left = ends - Date.now();
    // Where a minute is not left, or an attempt has failed, half of the time that is.
    if (left > 0) setTimeout(renew, Math.min(Math.max(left - 60_000, left / 2, 1000), 2 ** 31 - 1));
  };
  const renew = async () => {
    try {
      const answer = await fetch(tokenUrl, { credentials: "include" });
      if (answer.status === 401) return; // The session there has ended, and so will the sign-in.
      const { token } = await answer.json();
      const { sub, exp } = tokenClaims(token);
      if (sub !== subject) return;
      const body = new URLSearchParams({ token, csrfmiddlewaretoken: csrf });
      const signedIn = await fetch(login, { method: "POST", body, redirect: "manual" });
      if (signedIn.type === "opaqueredirect") ends = exp * 1000;
    } catch {}
    wait();
  };
  wait();
})();
