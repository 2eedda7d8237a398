import { jwtClient } from "better-auth/client/plugins";
import { createAuthClient } from "better-auth/react";
import { NetworkError } from "./client.ts";

// Without a baseURL it calls the page's own origin.
export const auth = createAuthClient({ plugins: [jwtClient()] });

// Returns a token for the API. Calls `signedOut` only if Better Auth itself says that the session has ended.
export async function freshToken(signedOut: () => void): Promise<string> {
  const { data, error } = await auth.token().catch(() => ({ data: null, error: { status: 0 } }));
  if (data) return data.token;
  if (error.status === 401) {
    signedOut();
    throw new Error("You have been signed out. Sign in again to go on.");
  }
  throw new NetworkError("The sign-in service did not answer. Try again in a moment.");
}
