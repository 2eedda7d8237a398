import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const { FRONTEND_PORT = "5173", AUTH_PORT = "3001" } = process.env;

export default defineConfig({
  plugins: [react()],
  server: {
    host: "127.0.0.1",
    port: Number(FRONTEND_PORT),
    strictPort: true,
    // Serves Better Auth from the page's own origin, so that its cookie works without CORS.
    proxy: { "/api/auth": `http://127.0.0.1:${AUTH_PORT}` },
  },
});
