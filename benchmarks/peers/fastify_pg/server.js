// Fastify and pg: one named prepared statement a request, serializers compiled from the schema.
import { createPublicKey } from "node:crypto";
import Fastify from "fastify";
import { createVerifier } from "fast-jwt";
import buildGetJwks from "get-jwks";
import pg from "pg";

pg.types.setTypeParser(pg.types.builtins.INT8, Number);
const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 20 });
const url = process.env.BETTER_AUTH_URL;
const jwks = buildGetJwks({ issuersWhitelist: [url], jwksPath: "/api/auth/jwks" });
const verify = createVerifier({
  // getPublicKey() of get-jwks cannot turn an Ed25519 key into PEM.
  key: async ({ header: { alg, kid } }) => {
    const jwk = await jwks.getJwk({ domain: url, alg, kid });
    return createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
  },
  algorithms: ["EdDSA"], allowedIss: url, allowedAud: url, requiredClaims: ["sub", "exp"],
  cache: true, // Verified tokens are remembered, as this project does.
});

const columns = "id, title, description, completed, user_id, created_at, updated_at";
const statements = {
  list: `SELECT ${columns} FROM tasks_task WHERE user_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2`,
  create: `INSERT INTO tasks_task (user_id, title, description, completed, created_at, updated_at)
    VALUES ($1, $2, $3, $4, now(), now()) RETURNING ${columns}`,
  read: `SELECT ${columns} FROM tasks_task WHERE user_id = $1 AND id = $2`,
  update: `UPDATE tasks_task SET title = $3, description = CASE WHEN $5 THEN $4 ELSE description END,
    completed = coalesce($6, completed), updated_at = now() WHERE user_id = $1 AND id = $2 RETURNING ${columns}`,
  remove: "DELETE FROM tasks_task WHERE user_id = $1 AND id = $2",
  toggle: `UPDATE tasks_task SET completed = NOT completed, updated_at = now()
    WHERE user_id = $1 AND id = $2 RETURNING ${columns}`,
};
const run = (name, values) => pool.query({ name, text: statements[name], values });

const text = (maxLength) => ({ type: ["string", "null"], maxLength });
const task = {
  type: "object",
  properties: {
    id: { type: "integer" }, title: { type: "string" }, description: { type: ["string", "null"] },
    completed: { type: "boolean" }, user_id: { type: "string" },
    created_at: { type: "string", format: "date-time" }, updated_at: { type: "string", format: "date-time" },
  },
};
const body = {
  type: "object", required: ["title"],
  properties: {
    title: { type: "string", minLength: 1, maxLength: 200 }, description: text(5000), completed: { type: "boolean" },
  },
};
const params = { type: "object", properties: { user_id: { type: "string" }, task_id: { type: "integer" } } };
const querystring = {
  type: "object", properties: { limit: { type: "integer", minimum: 1, maximum: 1000, default: 100 } },
};
const answers = { response: { 200: task, 201: task } };
const fail = (statusCode, message) => Object.assign(new Error(message), { statusCode });
const found = ({ rows }) => {
  if (!rows.length) throw fail(404, "Task not found");
  return rows[0];
};

const app = Fastify({ logger: true, disableRequestLogging: true });

// One line for each request, as the other systems write; Fastify's own logging would be two.
app.addHook("onResponse", async (request, reply) => {
  request.log.info(`${request.method} ${request.url} ${reply.statusCode} ${reply.elapsedTime.toFixed(1)}ms`);
});

app.addHook("onRequest", async (request) => {
  const [scheme, token] = (request.headers.authorization ?? "").split(" ");
  let claims;
  try {
    if (scheme !== "Bearer") throw new Error("no token");
    claims = await verify(token);
  } catch {
    throw fail(401, "Invalid token");
  }
  if (claims.sub !== request.params.user_id) throw fail(403, "Not your tasks");
  request.owner = claims.sub;
});

app.get("/api/:user_id/tasks", { schema: { params, querystring, response: { 200: { type: "array", items: task } } } },
  async ({ owner, query }) => (await run("list", [owner, query.limit])).rows);

app.post("/api/:user_id/tasks", { schema: { params, body, ...answers } }, async ({ owner, body }, reply) => {
  reply.code(201);
  return found(await run("create", [owner, body.title, body.description ?? null, body.completed ?? false]));
});

app.get("/api/:user_id/tasks/:task_id", { schema: { params, ...answers } },
  async ({ owner, params }) => found(await run("read", [owner, params.task_id])));

app.put("/api/:user_id/tasks/:task_id", { schema: { params, body, ...answers } }, async ({ owner, params, body }) =>
  found(await run("update", [
    owner, params.task_id, body.title, body.description ?? null, "description" in body, body.completed ?? null,
  ])));

app.delete("/api/:user_id/tasks/:task_id", { schema: { params } }, async ({ owner, params }, reply) => {
  if (!(await run("remove", [owner, params.task_id])).rowCount) throw fail(404, "Task not found");
  reply.code(204);
});

app.patch("/api/:user_id/tasks/:task_id/complete", { schema: { params, ...answers } },
  async ({ owner, params }) => found(await run("toggle", [owner, params.task_id])));

await app.listen({ host: "127.0.0.1", port: Number(process.env.PORT) });
