// A receiver of webhooks: an HTTP server that keeps what arrives and can be told to fail. Whoever
// waits for a delivery is woken by the arrival itself, or by the deadline.

import { once } from "node:events";
import http from "node:http";

const DEADLINE_MS = 30_000;
const MAX_BODY_BYTES = 2 * 1024 * 1024;
const PAUSE_MS = 20;

export class Receiver {
  status = 204;
  #delivered = [];
  #waiting = new Set();
  #server = http.createServer((request, response) => this.#take(request, response));

  static async listen() {
    const receiver = new Receiver();
    receiver.#server.listen(0, "127.0.0.1");
    await once(receiver.#server, "listening");
    return receiver;
  }

  url(path = "/hook") {
    return `http://127.0.0.1:${this.#server.address().port}${path}`;
  }

  /** The requests that carry this message, once there are `count` of them. */
  async waitFor(messageId, count = 1) {
    const found = () => this.#delivered.filter((one) => one.messageId === messageId);
    await this.#until(() => found().length >= count, () => `${found().length} of ${count} requests of ${messageId}`);
    return found();
  }

  /** All that arrived, once each of these messages did; forgets it. */
  async waitForAll(messageIds) {
    const missing = new Set(messageIds);
    let read = 0;
    const look = () => {
      for (; read < this.#delivered.length; read += 1) missing.delete(this.#delivered[read].messageId);
      return missing.size === 0;
    };
    await this.#until(look, () => `all but ${missing.size} of the messages`);
    return this.#delivered.splice(0);
  }

  count(messageId) {
    return this.#delivered.filter((one) => one.messageId === messageId).length;
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, "close");
  }

  async #take(request, response) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > MAX_BODY_BYTES) return request.destroy();
    }
    const { headers, url: path } = request;
    const body = Buffer.concat(chunks);
    this.#delivered.push({ path, headers, body, messageId: headers["webhook-id"], atMs: Date.now() });
    response.writeHead(this.status).end();
    for (const look of this.#waiting) look();
  }

  #until(done, soFar) {
    if (done()) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const stop = (settle) => {
        clearTimeout(timer);
        this.#waiting.delete(look);
        settle();
      };
      const look = () => done() && stop(resolve);
      const timer = setTimeout(() => stop(() => reject(new Error(`only ${soFar()} arrived`))), DEADLINE_MS);
      this.#waiting.add(look);
    });
  }
}

/** Asks another process again and again until it says yes; the answer of the last look. */
export async function eventually(look, what) {
  const giveUp = Date.now() + DEADLINE_MS;
  for (;;) {
    const answer = await look();
    if (answer) return answer;
    if (Date.now() > giveUp) throw new Error(`${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}
