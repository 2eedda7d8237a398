// The Better Auth server, with jwt() as shipped. It keeps accounts in memory and loses them when it stops: give yours a
// database.
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { jwt } from "better-auth/plugins";

const {
  AUTH_PORT = "3001",
  // The address that people open; Vite's proxy passes /api/auth on to here. The API has the same BETTER_AUTH_URL.
  BETTER_AUTH_URL = "http://localhost:5173",
  BETTER_AUTH_SECRET = randomBytes(32).toString("base64"),
  TOKEN_LIFE = "15m",
} = process.env;

const auth = betterAuth({
  baseURL: BETTER_AUTH_URL,
  trustedOrigins: [BETTER_AUTH_URL, BETTER_AUTH_URL.replace("localhost", "127.0.0.1")],
  secret: BETTER_AUTH_SECRET,
  database: memoryAdapter({ user: [], session: [], account: [], verification: [], jwks: [] }),
  emailAndPassword: { enabled: true },
  plugins: [jwt({ jwt: { expirationTime: TOKEN_LIFE } })],
});

createServer(toNodeHandler(auth)).listen(Number(AUTH_PORT), "127.0.0.1");
