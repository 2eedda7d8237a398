// erase-tasks.ts
// Deletes every task of one person, and returns once the list is empty. Throws if it cannot: then call it again.
export async function eraseTasks(api: string, userId: string, tokenFor: (userId: string) => Promise<string>) {
  const address = `${api}/api/${encodeURIComponent(userId)}/tasks`;

  for (;;) {
    const token = await tokenFor(userId); // A new one for each thousand, since it ends after 15 minutes.
    const tasks: { id: number }[] = await (await send("GET", address, token)).json();
    if (tasks.length === 0) return;
    for (let first = 0; first < tasks.length; first += 4) {
      const some = tasks.slice(first, first + 4);
      await Promise.all(some.map(({ id }) => send("DELETE", `${address}/${id}`, token)));
    }
  }
}

async function send(method: string, address: string, token: string): Promise<Response> {
  for (let attempt = 1; ; attempt++) {
    const headers = { Authorization: `Bearer ${token}` };
    const response = await fetch(address, { method, headers, signal: AbortSignal.timeout(30_000) });
    if (response.ok || (method === "DELETE" && response.status === 404)) return response; // 404: it is gone already
    const wait = Number(response.headers.get("Retry-After")); // on 429 and 503
    if (!wait || attempt === 5) throw new Error(`${method} tasks: ${response.status}`);
    await new Promise((resolve) => setTimeout(resolve, wait * 1000));
  }
}
