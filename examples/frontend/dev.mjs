// Starts the API, Better Auth and Vite. Stops them together, on Ctrl-C or when one of them exits.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const { PORT = "8000", AUTH_PORT = "3001", FRONTEND_PORT = "5173" } = process.env;
const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
const frontend = `http://localhost:${FRONTEND_PORT}`;
const api = `http://127.0.0.1:${PORT}`;

for (const [variable, port] of Object.entries({ PORT, AUTH_PORT, FRONTEND_PORT })) {
  const probe = createServer().listen(Number(port), "127.0.0.1");
  await once(probe, "listening").catch(() => {
    console.error(`Port ${port} is taken. End what listens there, or choose another one, for example:`);
    console.error(`${variable}=${Number(port) + 1} make frontend`);
    process.exit(1);
  });
  await once(probe.close(), "close");
}

const running = new Map();
let ending = false;

function start(name, command, folder, variables) {
  const env = { ...process.env, ...variables };
  const child = spawn(command[0], command.slice(1), { cwd: folder, env, stdio: ["ignore", "ignore", "inherit"] });
  running.set(name, child);
  child.on("error", (error) => console.error(`${name} cannot start: ${error.message}`));
  child.on("close", () => {
    running.delete(name);
    if (!ending) console.error(`${name} has ended, so the others are ended too.`);
    end(1);
  });
}

// Stops all running processes. This one exits when the last of them has.
function end(code) {
  if (!ending) process.exitCode = code;
  ending = true;
  for (const child of running.values()) child.kill("SIGTERM");
}
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(0));

// These variables override .env, which is not changed.
start("The API", [".venv/bin/python", "manage.py", "serve"], root, {
  HOST: "127.0.0.1",
  PORT,
  BETTER_AUTH_URL: frontend,
  BETTER_AUTH_ISSUER: "",
  BETTER_AUTH_AUDIENCE: "",
  BETTER_AUTH_JWKS_URL: "",
  CORS_ALLOWED_ORIGINS: `${frontend},http://127.0.0.1:${FRONTEND_PORT}`,
  DJANGO_ALLOWED_HOSTS: "127.0.0.1,localhost",
  DJANGO_HTTPS: "",
});
start("Better Auth", [process.execPath, "server.mjs"], here, { AUTH_PORT, BETTER_AUTH_URL: frontend });
const vite = [process.execPath, "node_modules/vite/bin/vite.js"];
start("Vite", vite, here, { AUTH_PORT, FRONTEND_PORT, VITE_TODO_URL: api });

for (const url of [`${api}/readyz`, `${frontend}/api/auth/ok`, frontend]) {
  while (!ending && !(await fetch(url).then(({ ok }) => ok, () => false))) await sleep(200);
}
if (!ending) {
  console.log(`\nOpen ${frontend} and create an account. Ctrl-C ends it.`);
  console.log("Tasks stay in your database; accounts are kept in memory and are gone at the end.\n");
}
