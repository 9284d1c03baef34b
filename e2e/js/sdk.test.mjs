// The published JavaScript packages, `svix` and `standardwebhooks`, against a running Doorbell.
//
// DOORBELL_TEST_URL and DOORBELL_TEST_TOKEN say where it is; it must be allowed to call 127.0.0.0/8 and give up
// after three attempts within a few seconds (DOORBELL_RETRY_SCHEDULE="0s,1s,1s"). Each test makes an
// application of its own and looks at what truly arrives at a receiver.

import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Webhook, WebhookVerificationError } from "standardwebhooks";
import { ApiException, MessageAttemptTriggerType, MessageStatus, Svix, messageInRaw } from "svix";

import { document, seeded } from "./bodies.mjs";
import { Receiver, eventually } from "./receiver.mjs";

const { DOORBELL_TEST_URL: url, DOORBELL_TEST_TOKEN: token } = process.env;
const seed = Number(process.env.DOORBELL_TEST_SEED) || randomInt(2 ** 32);

const EVENT_TYPE = "contact.created";
const ATTEMPTS = 3;
const RANDOM_BODIES = 10_000;
const BATCH = 1_000;

const svix = new Svix(token, { serverUrl: url });
let receiver, uid, app, endpoint;

beforeEach(async () => {
  receiver = await Receiver.listen();
  uid = `customer-${randomUUID()}`;
  app = (await svix.application.create({ name: "Customer", uid })).id;
  endpoint = (await svix.endpoint.create(app, { url: receiver.url() })).id;
});

afterEach(() => receiver.close());

const publish = (payload = { n: 1 }, fields = {}, options = undefined) =>
  svix.message.create(app, { eventType: EVENT_TYPE, payload, ...fields }, options);

const secret = async () => (await svix.endpoint.getSecret(app, endpoint)).key;

const verify = (key, delivered) => new Webhook(key).verify(delivered.body, delivered.headers);

/** Waits until the message has this status at the endpoint. */
const status = (messageId, wanted) =>
  eventually(async () => {
    const page = await svix.messageAttempt.listAttemptedMessages(app, endpoint);
    return page.data.some((message) => message.id === messageId && message.status === wanted);
  }, `status ${wanted} of ${messageId}`);

/** Waits until a background task is over. */
const finished = ({ id }) =>
  eventually(async () => (await svix.backgroundTask.get(id)).status === "finished", "the end of the task");

/** The exception of a request that must be refused with this status. */
async function refused(code, request) {
  const exception = await request.then(
    () => assert.fail("was not refused"),
    (error) => error,
  );
  assert.ok(exception instanceof ApiException, String(exception));
  assert.equal(exception.code, code);
  return exception;
}

describe("applications", () => {
  test("get or create answers the same application", async () => {
    assert.equal((await svix.application.getOrCreate({ name: "Customer", uid })).id, app);
    assert.equal((await svix.application.get(uid)).id, app);
    await refused(409, svix.application.create({ name: "Customer", uid }));
  });

  test("upsert makes, then changes", async () => {
    const other = `customer-${randomUUID()}`;
    const made = await svix.application.upsert(other, { name: "One", uid: other });
    const changed = await svix.application.upsert(other, { name: "Two", uid: other });
    assert.deepEqual([changed.id, changed.name], [made.id, "Two"]);
    const patched = await svix.application.patch(other, { metadata: { plan: "pro" } });
    assert.deepEqual([patched.name, patched.metadata], ["Two", { plan: "pro" }]);
  });

  test("list pages through all", async () => {
    const others = [1, 2, 3, 4].map((n) => svix.application.create({ name: `Customer ${n}` }));
    const mine = [app, ...(await Promise.all(others)).map((other) => other.id)];
    const seen = new Set();
    let page = { iterator: undefined, done: false };
    while (!page.done) {
      page = await svix.application.list({ limit: 2, iterator: page.iterator });
      assert.ok(page.data.length <= 2);
      for (const found of page.data) seen.add(found.id);
    }
    assert.deepEqual(mine.filter((id) => !seen.has(id)), []);
  });

  test("a deleted application and endpoint are gone", async () => {
    await svix.endpoint.delete(app, endpoint);
    await refused(404, svix.endpoint.get(app, endpoint));
    await svix.application.delete(uid);
    await refused(404, svix.application.get(app));
    assert.ok((await svix.backgroundTask.list()).data.length > 0);
  });
});

describe("event types", () => {
  test("create, change, list, delete", async () => {
    const name = `contact.${randomUUID()}`;
    const schemas = { 1: { type: "object" } };
    const made = await svix.eventType.create({ name, description: "A contact", schemas });
    assert.deepEqual(made.schemas, schemas);
    await svix.eventType.patch(name, { description: "Somebody" });
    assert.equal((await svix.eventType.get(name)).description, "Somebody");
    const listed = await svix.eventType.list({ limit: 250 });
    assert.ok(listed.data.some((eventType) => eventType.name === name));
    await svix.eventType.delete(name);
    assert.equal((await svix.eventType.get(name)).archived, true);
  });
});

describe("endpoints", () => {
  test("list, patch and filter", async () => {
    const listed = await svix.endpoint.list(app);
    assert.deepEqual(listed.data.map((one) => one.id), [endpoint]);
    const change = { description: "theirs", eventTypes: ["invoice.paid"], metadata: { k: "v" } };
    const { description, eventTypes, metadata } = await svix.endpoint.patch(app, endpoint, change);
    assert.deepEqual({ description, eventTypes, metadata }, change);
    const unwanted = await publish();
    const wanted = await svix.message.create(app, { eventType: "invoice.paid", payload: { n: 2 } });
    await receiver.waitFor(wanted.id);
    assert.equal(receiver.count(unwanted.id), 0);
  });

  test("upsert makes, then changes", async () => {
    const wish = { url: receiver.url("/upserted"), uid: "mine" };
    const made = await svix.endpoint.upsert(app, "mine", wish);
    const changed = await svix.endpoint.upsert(app, "mine", { ...wish, channels: ["west"] });
    assert.deepEqual([changed.id, changed.uid, changed.channels], [made.id, "mine", ["west"]]);
  });

  test("precheck says whether anybody listens", async () => {
    const ask = { eventType: EVENT_TYPE };
    assert.equal((await svix.message.precheck(app, ask)).active, true);
    await svix.endpoint.patch(app, endpoint, { disabled: true });
    assert.equal((await svix.message.precheck(app, ask)).active, false);
  });

  test("an example is delivered", async () => {
    const eventType = `contact.${randomUUID()}`;
    const schemas = { 1: { type: "object", examples: [{ name: "Zoë" }] } };
    await svix.eventType.create({ name: eventType, description: "", schemas });
    const message = await svix.endpoint.sendExample(app, endpoint, { eventType });
    const [delivered] = await receiver.waitFor(message.id);
    assert.deepEqual(verify(await secret(), delivered), { name: "Zoë" });
  });

  test("headers are sent, and sensitive ones hidden", async () => {
    const authorization = "Basic eA==";
    await svix.endpoint.setHeaders(app, endpoint, { headers: { "x-one": "1", authorization } });
    await svix.endpoint.patchHeaders(app, endpoint, { headers: { "x-two": "2" }, deleteHeaders: ["x-one"] });
    const found = await svix.endpoint.getHeaders(app, endpoint);
    assert.deepEqual(found.headers, { "x-two": "2" });
    assert.deepEqual(found.sensitive.map((name) => name.toLowerCase()), ["authorization"]);
    const [delivered] = await receiver.waitFor((await publish()).id);
    assert.equal(delivered.headers["x-two"], "2");
    assert.equal(delivered.headers.authorization, authorization);
    assert.equal(delivered.headers["x-one"], undefined);
  });

  test("stats count messages by outcome", async () => {
    const good = await publish();
    await status(good.id, MessageStatus.Success);
    receiver.status = 500;
    const bad = await publish();
    await receiver.waitFor(bad.id, ATTEMPTS);
    await status(bad.id, MessageStatus.Fail);
    const { success, fail, pending, sending } = await svix.endpoint.getStats(app, endpoint);
    assert.deepEqual({ success, fail, pending, sending }, { success: 1, fail: 1, pending: 0, sending: 0 });
  });

  test("both secrets sign during the grace", async () => {
    const old = await secret();
    await svix.endpoint.rotateSecret(app, endpoint, { gracePeriodSeconds: 3600 });
    const renewed = await secret();
    assert.notEqual(old, renewed);
    const [delivered] = await receiver.waitFor((await publish()).id);
    verify(old, delivered);
    verify(renewed, delivered);
  });

  test("an old secret without grace signs no more", async () => {
    const old = await secret();
    await svix.endpoint.rotateSecret(app, endpoint, { gracePeriodSeconds: 0 });
    const [delivered] = await receiver.waitFor((await publish()).id);
    verify(await secret(), delivered);
    assert.throws(() => verify(old, delivered), WebhookVerificationError);
  });
});

describe("messages", () => {
  test("a message arrives signed and is recorded", async () => {
    const payload = { name: "Zoë", n: 1.5, nested: [{ a: null }] };
    const message = await publish(payload);
    const [delivered] = await receiver.waitFor(message.id);
    assert.deepEqual(verify(await secret(), delivered), payload);
    assert.equal(delivered.headers["content-type"], "application/json");
    await status(message.id, MessageStatus.Success);
    const withAll = { withMsg: true, withContent: true };
    const [attempt] = (await svix.messageAttempt.listByEndpoint(app, endpoint, withAll)).data;
    assert.equal(attempt.msgId, message.id);
    assert.equal(attempt.responseStatusCode, 204);
    assert.deepEqual(attempt.msg.payload, payload);
    const [same] = (await svix.messageAttempt.listByMsg(app, message.id)).data;
    assert.equal(same.id, attempt.id);
    assert.equal(same.status, MessageStatus.Success);
    assert.equal((await svix.messageAttempt.get(app, message.id, attempt.id)).url, receiver.url());
    const [destination] = (await svix.messageAttempt.listAttemptedDestinations(app, message.id)).data;
    assert.equal(destination.id, endpoint);
    assert.equal(destination.status, MessageStatus.Success);
    const [listed] = (await svix.message.list(app, { withContent: true })).data;
    assert.equal(listed.id, message.id);
    assert.deepEqual(listed.payload, payload);
    assert.deepEqual((await svix.message.get(app, message.id, { withContent: true })).payload, payload);
    assert.deepEqual((await svix.message.get(app, message.id)).payload, {});
  });

  test("the same idempotency key is one message", async () => {
    const options = { idempotencyKey: randomUUID() };
    const first = await publish({ n: 1 }, {}, options);
    const second = await publish({ n: 1 }, {}, options);
    assert.equal(first.id, second.id);
    assert.equal((await svix.message.list(app)).data.length, 1);
  });

  test("a message waits for its time", async () => {
    const deliverAt = new Date(Date.now() + 2_000);
    const message = await publish({ n: 1 }, { deliverAt });
    const [delivered] = await receiver.waitFor(message.id);
    assert.ok(delivered.atMs >= deliverAt.getTime(), `${delivered.atMs} is before ${deliverAt.getTime()}`);
  });

  test("a raw payload is sent as it is", async () => {
    const texts = [['{"n":\t1.0e0, "n": 2}', undefined], ["hello, Zoë", "text/plain"]];
    for (const [text, contentType] of texts) {
      const message = await svix.message.create(app, messageInRaw(EVENT_TYPE, text, contentType));
      const [delivered] = await receiver.waitFor(message.id);
      assert.equal(delivered.body.toString(), text);
      assert.equal(delivered.headers["content-type"], contentType ?? "application/json");
      new Webhook(await secret()).verify(delivered.body, delivered.headers, { jsonParse: false });
    }
  });

  test("erased content is gone", async () => {
    const message = await publish();
    await status(message.id, MessageStatus.Success);
    await svix.message.expungeContent(app, message.id);
    const found = await svix.message.get(app, message.id, { withContent: true });
    assert.notDeepEqual(found.payload, { n: 1 });
  });

  test("replay missing sends what was never sent", async () => {
    const since = new Date(Date.now() - 1_000);
    const message = await publish();
    await receiver.waitFor(message.id);
    const late = await svix.endpoint.create(app, { url: receiver.url("/late") });
    await svix.endpoint.replayMissing(app, late.id, { since });
    const delivered = await receiver.waitFor(message.id, 2);
    assert.deepEqual(delivered.map((one) => one.path), ["/hook", "/late"]);
  });

  test("bulk replay sends again what is asked for", async () => {
    const since = new Date(Date.now() - 1_000);
    const tagged = await publish({ n: 1 }, { tags: ["red"] });
    const other = await publish();
    for (const { id } of [tagged, other]) await status(id, MessageStatus.Success);
    const wish = { since, tag: "red", status: MessageStatus.Success };
    const task = await svix.endpoint.bulkReplay(app, endpoint, wish);
    await receiver.waitFor(tagged.id, 2);
    await finished(task);
    assert.equal(receiver.count(other.id), 1);
  });

  test("resend delivers once more", async () => {
    const message = await publish();
    await status(message.id, MessageStatus.Success);
    await svix.messageAttempt.resend(app, message.id, endpoint);
    const [first, second] = await receiver.waitFor(message.id, 2);
    assert.deepEqual(first.body, second.body);
    await eventually(async () => {
      const { data } = await svix.messageAttempt.listByMsg(app, message.id);
      const triggers = data.map((attempt) => attempt.triggerType).sort();
      const { Scheduled, Manual } = MessageAttemptTriggerType;
      return triggers.length === 2 && triggers[0] === Scheduled && triggers[1] === Manual;
    }, "the manual attempt");
  });

  test("recover sends what failed", async () => {
    const since = new Date(Date.now() - 1_000);
    receiver.status = 500;
    const message = await publish();
    await receiver.waitFor(message.id, ATTEMPTS);
    await status(message.id, MessageStatus.Fail);
    receiver.status = 200;
    const task = await svix.endpoint.recover(app, endpoint, { since });
    const delivered = await receiver.waitFor(message.id, ATTEMPTS + 1);
    verify(await secret(), delivered.at(-1));
    await status(message.id, MessageStatus.Success);
    await finished(task);
  });
});

describe("problems", () => {
  test("an unknown application is not found", async () => {
    const { body } = await refused(404, svix.application.get("nobody"));
    assert.ok(body.code);
    assert.equal(typeof body.detail, "string");
  });

  test("a private address is refused", async () => {
    const { body } = await refused(422, svix.endpoint.create(app, { url: "http://10.0.0.1/hook" }));
    assert.deepEqual(body.detail[0].loc, ["body", "url"]);
  });

  test("a wrong token is refused", async () => {
    await refused(401, new Svix("not-the-token", { serverUrl: url }).application.list());
  });
});

describe("random bodies", () => {
  test(`arrive byte for byte and verify (DOORBELL_TEST_SEED=${seed})`, async () => {
    const random = seeded(seed);
    const webhook = new Webhook(await secret());
    const published = new Map();
    for (let start = 0; start < RANDOM_BODIES; start += BATCH) {
      const batch = await publishAll(Array.from({ length: BATCH }, () => document(random)));
      for (const [id, bytes] of batch) published.set(id, bytes);
      for (const { messageId, body, headers } of await receiver.waitForAll(batch.keys())) {
        webhook.verify(body, headers);
        assert.equal(body.compare(published.get(messageId)), 0, `${messageId} came as ${body}`);
      }
    }
  });

  /** Publishes the texts as they are; the published bytes by message id. */
  async function publishAll(texts) {
    const messages = texts.map((text) => `{"eventType":"${EVENT_TYPE}","payload":${text}}`);
    const answer = await fetch(`${url}/api/v1/app/${app}/msg/batch`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
      body: `{"messages":[${messages.join(",")}]}`,
    });
    assert.equal(answer.status, 202);
    const { data } = await answer.json();
    assert.equal(data.length, texts.length);
    return new Map(
      data.map((one, at) => {
        assert.equal(one.status, 202, JSON.stringify(one));
        return [one.message.id, Buffer.from(texts[at])];
      }),
    );
  }
});
