// Sends what tests/test_clients.py asks for, one request a line, by the client that it names.
import axios from "axios";
import ky from "ky";
import createClient from "openapi-fetch";
import { createInterface } from "node:readline";

// As frontends have it: every request says that it is JSON, also one without a body.
const instance = axios.create({ headers: { "Content-Type": "application/json" } });

async function read(response) {
  const text = await response.text();
  return { status: response.status, headers: Object.fromEntries(response.headers), body: text ? JSON.parse(text) : null };
}

const clients = {
  async fetch({ method, url, headers, body }) {
    const content = body === undefined ? {} : { "Content-Type": "application/json" };
    return read(await fetch(url, { method, headers: { ...headers, ...content }, body: JSON.stringify(body) }));
  },
  async axios({ method, url, headers, body }) {
    const response = await instance({ method, url, headers, data: body }).catch((error) => error.response);
    return { status: response.status, headers: { ...response.headers }, body: response.data || null };
  },
  async "openapi-fetch"({ method, url, headers, body }) {
    const { origin, pathname } = new URL(url);
    const { data, error, response } = await createClient({ baseUrl: origin }).request(method, pathname, { headers, body });
    return { status: response.status, headers: Object.fromEntries(response.headers), body: data ?? (error || null) };
  },
  async ky({ method, url, headers, body }) {
    return read(await ky(url, { method, headers, json: body }).catch((error) => error.response));
  },
};

const send = clients[process.argv[2]];
for await (const line of createInterface({ input: process.stdin })) console.log(JSON.stringify(await send(JSON.parse(line))));
