// A real Better Auth server for the test suite: everything in memory, gone when it stops.
// Settings come from the environment; they are listed where they are read.
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { fromNodeHeaders, toNodeHandler } from "better-auth/node";
import { bearer, jwt } from "better-auth/plugins";
import { SignJWT } from "jose";

const {
  PORT = "0", // 0: a free one
  MODE = "jwks", // jwks: jwt() as shipped; hs256: jwt() with its own jwt.sign
  ALG = "EdDSA", // EdDSA, ES256, ES512, RS256, PS256; for MODE=jwks
  TOKEN_LIFE = "15m", // Better Auth's default; "-1m" gives tokens that have already ended
  USER_IDS = "", // "uuid" or "serial"; empty: 32 letters and digits
  CORS_ORIGIN = "", // the page that may fetch a token with this server's cookies
  COOKIE_CACHE_KEY = "secret", // "jwks": the cookie cache is signed with the key of the jwt() plugin
  ERASE_TASKS = "", // the compiled erase-tasks.ts, which beforeDelete calls; empty: no user can be deleted
  TODO_URL = "", // the todo service that it calls
  EXIT_WITH_STDIN = "", // set by client.py, so that no server outlives the test run
} = process.env;
// Better Auth itself reads BETTER_AUTH_SECRET and BETTER_AUTH_SECRETS. TOKEN_SECRET signs the HS256 tokens instead of
// Better Auth's own secret. POST /restart changes these three.

for (const [name, value, allowed] of [
  ["MODE", MODE, ["jwks", "hs256"]],
  ["ALG", ALG, ["EdDSA", "ES256", "ES512", "RS256", "PS256"]],
  ["USER_IDS", USER_IDS, ["", "uuid", "serial"]],
  ["COOKIE_CACHE_KEY", COOKIE_CACHE_KEY, ["secret", "jwks"]],
]) {
  if (!allowed.includes(value)) {
    console.error(`${name} is ${JSON.stringify(value)}; use one of ${JSON.stringify(allowed)}`);
    process.exit(1);
  }
}

const { eraseTasks } = ERASE_TASKS ? await import(ERASE_TASKS) : {};
const JWKS_PATH = "/api/auth/jwks";
const db = { user: [], session: [], account: [], verification: [], jwks: [] };
const mailbox = []; // what a mail server would have been given
let keys = "on";
let keysFetched = 0;

// Better Auth's own secret is the first of BETTER_AUTH_SECRETS, or else BETTER_AUTH_SECRET.
async function signHs256(claims) {
  const secret = process.env.TOKEN_SECRET || (await auth.$context).secret;
  return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(secret));
}

function jwtPlugin(baseURL) {
  if (MODE === "hs256") {
    return jwt({
      // Better Auth refuses jwt.sign without a remoteUrl and an algorithm. It uses neither to sign,
      // and its own key endpoint then answers 404.
      jwks: { remoteUrl: `${baseURL}${JWKS_PATH}`, keyPairConfig: { alg: "EdDSA" } },
      jwt: { expirationTime: TOKEN_LIFE, sign: signHs256 },
    });
  }
  return jwt({
    sessionCookieCache: COOKIE_CACHE_KEY === "jwks",
    jwks: { keyPairConfig: { alg: ALG }, rotationInterval: 30 * 24 * 3600 },
    jwt: { expirationTime: TOKEN_LIFE },
  });
}

function makeAuth(baseURL) {
  return betterAuth({
    baseURL,
    database: memoryAdapter(db),
    emailAndPassword: { enabled: true },
    emailVerification: {
      sendOnSignUp: true,
      sendVerificationEmail: async ({ user, url, token }) => {
        mailbox.push({ email: user.email, url, token });
      },
    },
    session: { cookieCache: { enabled: true, strategy: "jwt" } },
    user: {
      deleteUser: { enabled: !!eraseTasks, beforeDelete: (user) => eraseTasks(TODO_URL, user.id, tokenFor) },
    },
    advanced: USER_IDS ? { database: { generateId: USER_IDS } } : {},
    plugins: [jwtPlugin(baseURL), bearer()],
    rateLimit: { enabled: false }, // the suite signs up faster than a person
    telemetry: { enabled: false },
    logger: { level: "error" }, // standard output carries one line only
  });
}

// Better Auth has no call that rotates. With rotationInterval set, a key gets an expiresAt; the first token
// asked for after it makes a new key, and the old one stays in the JWKS for the grace period of 30 days.
// Here the key's time is ended early, and Better Auth does the rest when it signs.
async function rotateKeys(withdraw) {
  const before = db.jwks.map((key) => key.id);
  const end = withdraw ? new Date(0) : new Date(Date.now() - 1);
  for (const key of db.jwks) {
    if (withdraw || !key.expiresAt || key.expiresAt > end) key.expiresAt = end;
  }
  await auth.api.signJWT({ body: { payload: {} } });
  return { made: db.jwks.map((key) => key.id).filter((id) => !before.includes(id)) };
}

async function tokenFor(userId) {
  const { token } = await auth.api.signJWT({ body: { payload: { sub: userId } } });
  return token;
}

function send(response, status, body) {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

async function ownToken(request, response) {
  const session = await auth.api.getSession({ headers: fromNodeHeaders(request.headers) });
  if (!session) return send(response, 401, { message: "no session" });
  const now = Math.floor(Date.now() / 1000);
  send(response, 200, { token: await signHs256({ sub: session.user.id, iat: now, exp: now + 3600 }) });
}

async function handle(request, response) {
  const url = new URL(request.url, baseURL);
  switch (`${request.method} ${url.pathname}`) {
    case "GET /own-token":
      return ownToken(request, response);
    case "GET /mailbox":
      return send(response, 200, mailbox);
    case "POST /restart": // with other secrets and the same database, which is in memory
      Object.assign(process.env, Object.fromEntries(url.searchParams));
      await makeHandler();
      return send(response, 200, {});
    case "POST /rotate-keys":
      if (MODE === "hs256") return send(response, 409, { message: "no keys in MODE=hs256" });
      return send(response, 200, await rotateKeys(url.searchParams.has("withdraw")));
    case "POST /erase-tasks": // a job of the frontend's, for a user who is gone
      await eraseTasks(TODO_URL, url.searchParams.get("user"), tokenFor);
      return send(response, 200, {});
    case "GET /keys-fetched":
      return send(response, 200, { fetched: keysFetched });
    case "POST /keys-on":
    case "POST /keys-off":
    case "POST /keys-hang":
      keys = url.pathname.slice("/keys-".length);
      return send(response, 200, { keys });
  }
  if (url.pathname === JWKS_PATH) {
    keysFetched += 1;
    if (keys === "off") return send(response, 500, { message: "switched off by the test" });
    if (keys === "hang") return; // the answer never comes
  }
  if (CORS_ORIGIN && url.pathname === "/api/auth/token") {
    response.setHeader("access-control-allow-origin", CORS_ORIGIN);
    response.setHeader("access-control-allow-credentials", "true");
  }
  return authHandler(request, response);
}

let auth, authHandler, baseURL;

async function makeHandler() {
  auth = makeAuth(baseURL);
  authHandler = toNodeHandler(auth);
  await auth.$context; // a wrong secret ends the start here, not the first request
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) send(response, 500, { message: "error in the test server" });
  });
});
server.on("error", (error) => {
  console.error(error.message);
  process.exit(1);
});
// The port is part of the base URL, and so of issuer and audience: listen first, then set up Better Auth.
server.listen(Number(PORT), "127.0.0.1", async () => {
  try {
    baseURL = `http://127.0.0.1:${server.address().port}`;
    await makeHandler();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
  console.log(`ready ${server.address().port}`);
});

process.on("SIGTERM", () => process.exit(0));
if (EXIT_WITH_STDIN) process.stdin.on("end", () => process.exit(0)).resume();
