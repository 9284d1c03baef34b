"""The published Python packages, `svix` and `standardwebhooks`, against a running Doorbell.

DOORBELL_TEST_URL and DOORBELL_TEST_TOKEN say where it is; it must be allowed to call 127.0.0.0/8 and give up
after three attempts within a few seconds (DOORBELL_RETRY_SCHEDULE="0s,1s,1s"). Each test makes an
application of its own and looks at what truly arrives at a receiver.
"""

import os
import random
import sys
import unittest
import uuid
from datetime import datetime, timedelta, timezone

import httpx
import svix.api as sdk
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from svix import models
from svix.api.message import message_in_raw
from svix.exceptions import HttpError, HTTPValidationError

import bodies
from journey import ATTEMPTS, EVENT_TYPE, FAIL, SUCCESS, TOKEN, URL, Journey
from receiver import eventually

SEED = int(os.environ.get("DOORBELL_TEST_SEED") or random.randrange(2**32))

RANDOM_BODIES = 10_000
BATCH = 1_000


class Applications(Journey):
    def test_get_or_create_answers_the_same_application(self):
        wish = models.ApplicationIn(name="Customer", uid=self.uid)
        self.assertEqual(self.svix.application.get_or_create(wish).id, self.app)
        self.assertEqual(self.svix.application.get(self.uid).id, self.app)
        with self.assertRaises(HttpError) as refused:
            self.svix.application.create(wish)
        self.assertEqual(refused.exception.status_code, 409)

    def test_upsert_makes_then_changes(self):
        uid = f"customer-{uuid.uuid4()}"
        made = self.svix.application.upsert(uid, models.ApplicationIn(name="One", uid=uid))
        changed = self.svix.application.upsert(uid, models.ApplicationIn(name="Two", uid=uid))
        self.assertEqual((changed.id, changed.name), (made.id, "Two"))
        patched = self.svix.application.patch(uid, models.ApplicationPatch(metadata={"plan": "pro"}))
        self.assertEqual((patched.name, patched.metadata), ("Two", {"plan": "pro"}))

    def test_list_pages_through_all(self):
        mine = {self.app} | {
            self.svix.application.create(models.ApplicationIn(name=f"Customer {n}")).id for n in range(4)
        }
        seen, iterator, done = set(), None, False
        while not done:
            page = self.svix.application.list(sdk.ApplicationListOptions(limit=2, iterator=iterator))
            self.assertLessEqual(len(page.data), 2)
            seen.update(app.id for app in page.data)
            iterator, done = page.iterator, page.done
        self.assertLessEqual(mine, seen)

    def test_a_deleted_application_and_endpoint_are_gone(self):
        self.svix.endpoint.delete(self.app, self.endpoint)
        with self.assertRaises(HttpError) as refused:
            self.svix.endpoint.get(self.app, self.endpoint)
        self.assertEqual(refused.exception.status_code, 404)
        self.svix.application.delete(self.uid)
        with self.assertRaises(HttpError) as refused:
            self.svix.application.get(self.app)
        self.assertEqual(refused.exception.status_code, 404)
        self.assertGreater(len(self.svix.background_task.list().data), 0)


class EventTypes(Journey):
    def test_create_change_list_delete(self):
        name = f"contact.{uuid.uuid4()}"
        made = self.svix.event_type.create(
            models.EventTypeIn(name=name, description="A contact", schemas={"1": {"type": "object"}})
        )
        self.assertEqual(made.schemas, {"1": {"type": "object"}})
        self.svix.event_type.patch(name, models.EventTypePatch(description="Somebody"))
        self.assertEqual(self.svix.event_type.get(name).description, "Somebody")
        listed = self.svix.event_type.list(sdk.EventTypeListOptions(limit=250))
        self.assertIn(name, [event_type.name for event_type in listed.data])
        self.svix.event_type.delete(name)
        self.assertTrue(self.svix.event_type.get(name).archived)


class Endpoints(Journey):
    def test_list_patch_and_filter(self):
        listed = self.svix.endpoint.list(self.app)
        self.assertEqual([endpoint.id for endpoint in listed.data], [self.endpoint])
        patched = self.svix.endpoint.patch(
            self.app,
            self.endpoint,
            models.EndpointPatch(description="theirs", event_types=["invoice.paid"], metadata={"k": "v"}),
        )
        self.assertEqual(patched.description, "theirs")
        self.assertEqual(patched.event_types, ["invoice.paid"])
        unwanted = self.publish()
        wanted = self.svix.message.create(
            self.app, models.MessageIn(event_type="invoice.paid", payload={"n": 2})
        )
        self.receiver.wait_for(wanted.id)
        self.assertEqual(self.receiver.count(unwanted.id), 0)

    def test_upsert_makes_then_changes(self):
        wish = models.EndpointUpsertIn(url=self.receiver.url("/upserted"), uid="mine")
        made = self.svix.endpoint.upsert(self.app, "mine", wish)
        wish.channels = ["west"]
        changed = self.svix.endpoint.upsert(self.app, "mine", wish)
        self.assertEqual((changed.id, changed.uid, changed.channels), (made.id, "mine", ["west"]))

    def test_precheck_says_whether_anybody_listens(self):
        ask = models.MessagePrecheckIn(event_type=EVENT_TYPE)
        self.assertTrue(self.svix.message.precheck(self.app, ask).active)
        self.svix.endpoint.patch(self.app, self.endpoint, models.EndpointPatch(disabled=True))
        self.assertFalse(self.svix.message.precheck(self.app, ask).active)

    def test_an_example_is_delivered(self):
        name = f"contact.{uuid.uuid4()}"
        schemas = {"1": {"type": "object", "examples": [{"name": "Zoë"}]}}
        self.svix.event_type.create(models.EventTypeIn(name=name, description="", schemas=schemas))
        wish = models.EventExampleIn(event_type=name)
        message = self.svix.endpoint.send_example(self.app, self.endpoint, wish)
        [delivered] = self.receiver.wait_for(message.id)
        self.assertEqual(Webhook(self.secret()).verify(delivered.body, delivered.headers), {"name": "Zoë"})

    def test_headers_are_sent_and_sensitive_ones_hidden(self):
        self.svix.endpoint.set_headers(
            self.app, self.endpoint, models.EndpointHeadersIn(headers={"x-one": "1", "authorization": "Basic eA=="})
        )
        self.svix.endpoint.patch_headers(
            self.app, self.endpoint, models.EndpointHeadersPatchIn(headers={"x-two": "2"}, delete_headers=["x-one"])
        )
        found = self.svix.endpoint.get_headers(self.app, self.endpoint)
        self.assertEqual(found.headers, {"x-two": "2"})
        self.assertEqual([name.lower() for name in found.sensitive], ["authorization"])
        [delivered] = self.receiver.wait_for(self.publish().id)
        self.assertEqual(delivered.headers["x-two"], "2")
        self.assertEqual(delivered.headers["authorization"], "Basic eA==")
        self.assertNotIn("x-one", delivered.headers)

    def test_stats_count_messages_by_outcome(self):
        good = self.publish().id
        self.receiver.wait_for(good)
        self.status(good, SUCCESS)
        self.receiver.status = 500
        bad = self.publish().id
        self.receiver.wait_for(bad, ATTEMPTS)
        self.status(bad, FAIL)
        stats = self.svix.endpoint.get_stats(self.app, self.endpoint)
        self.assertEqual((stats.success, stats.fail, stats.pending, stats.sending), (1, 1, 0, 0))

    def test_both_secrets_sign_during_the_grace(self):
        old = self.secret()
        wish = models.EndpointSecretRotateIn(grace_period_seconds=3600)
        self.svix.endpoint.rotate_secret(self.app, self.endpoint, wish)
        new = self.secret()
        self.assertNotEqual(old, new)
        [delivered] = self.receiver.wait_for(self.publish().id)
        Webhook(old).verify(delivered.body, delivered.headers)
        Webhook(new).verify(delivered.body, delivered.headers)

    def test_an_old_secret_without_grace_signs_no_more(self):
        old = self.secret()
        wish = models.EndpointSecretRotateIn(grace_period_seconds=0)
        self.svix.endpoint.rotate_secret(self.app, self.endpoint, wish)
        [delivered] = self.receiver.wait_for(self.publish().id)
        Webhook(self.secret()).verify(delivered.body, delivered.headers)
        with self.assertRaises(WebhookVerificationError):
            Webhook(old).verify(delivered.body, delivered.headers)


class Messages(Journey):
    def test_a_message_arrives_signed_and_is_recorded(self):
        payload = {"name": "Zoë", "n": 12345678901234567890, "nested": [{"a": None}]}
        message = self.publish(payload)
        [delivered] = self.receiver.wait_for(message.id)
        self.assertEqual(Webhook(self.secret()).verify(delivered.body, delivered.headers), payload)
        self.assertEqual(delivered.headers["content-type"], "application/json")
        self.status(message.id, SUCCESS)
        by_endpoint = self.svix.message_attempt.list_by_endpoint(
            self.app,
            self.endpoint,
            sdk.MessageAttemptListByEndpointOptions(with_msg=True, with_content=True),
        )
        [attempt] = by_endpoint.data
        self.assertEqual((attempt.msg_id, attempt.response_status_code), (message.id, 204))
        self.assertEqual(attempt.msg.payload, payload)
        [same] = self.svix.message_attempt.list_by_msg(self.app, message.id).data
        self.assertEqual((same.id, same.status), (attempt.id, SUCCESS))
        self.assertEqual(self.svix.message_attempt.get(self.app, message.id, attempt.id).url, attempt.url)
        [destination] = self.svix.message_attempt.list_attempted_destinations(self.app, message.id).data
        self.assertEqual((destination.id, destination.status), (self.endpoint, SUCCESS))
        [listed] = self.svix.message.list(self.app, sdk.MessageListOptions(with_content=True)).data
        self.assertEqual((listed.id, listed.payload), (message.id, payload))
        found = self.svix.message.get(self.app, message.id, sdk.MessageGetOptions(with_content=True))
        self.assertEqual(found.payload, payload)
        self.assertEqual(self.svix.message.get(self.app, message.id).payload, {})

    def test_the_same_idempotency_key_is_one_message(self):
        key = str(uuid.uuid4())
        first, second = self.publish(idempotency_key=key), self.publish(idempotency_key=key)
        self.assertEqual(first.id, second.id)
        self.assertEqual(len(self.svix.message.list(self.app).data), 1)

    def test_a_message_waits_for_its_time(self):
        at = datetime.now(timezone.utc) + timedelta(seconds=2)
        message = self.publish(deliver_at=at)
        [delivered] = self.receiver.wait_for(message.id)
        self.assertGreaterEqual(delivered.at, at.timestamp() - 0.001)

    def test_a_raw_payload_is_sent_as_it_is(self):
        texts = [('{"n":\t1.0e0, "n": 2}', None), ("hello, Zoë", "text/plain")]
        for text, content_type in texts:
            wish = message_in_raw(EVENT_TYPE, text, content_type)
            [delivered] = self.receiver.wait_for(self.svix.message.create(self.app, wish).id)
            self.assertEqual(delivered.body, text.encode())
            self.assertEqual(delivered.headers["content-type"], content_type or "application/json")
            Webhook(self.secret()).verify(delivered.body, delivered.headers, json_parse=False)

    def test_erased_content_is_gone(self):
        message = self.publish()
        self.receiver.wait_for(message.id)
        self.status(message.id, SUCCESS)
        self.svix.message.expunge_content(self.app, message.id)
        found = self.svix.message.get(self.app, message.id, sdk.MessageGetOptions(with_content=True))
        self.assertNotEqual(found.payload, {"n": 1})

    def test_replay_missing_sends_what_was_never_sent(self):
        since = datetime.now(timezone.utc) - timedelta(seconds=1)
        message = self.publish()
        self.receiver.wait_for(message.id)
        late = self.svix.endpoint.create(self.app, models.EndpointIn(url=self.receiver.url("/late"))).id
        self.svix.endpoint.replay_missing(self.app, late, models.ReplayIn(since=since))
        delivered = self.receiver.wait_for(message.id, 2)
        self.assertEqual([d.path for d in delivered], ["/hook", "/late"])

    def test_bulk_replay_sends_again_what_is_asked_for(self):
        since = datetime.now(timezone.utc) - timedelta(seconds=1)
        tagged, other = self.publish(tags=["red"]), self.publish()
        for message in (tagged, other):
            self.status(message.id, SUCCESS)
        wish = models.BulkReplayIn(since=since, tag="red", status=SUCCESS)
        task = self.svix.endpoint.bulk_replay(self.app, self.endpoint, wish)
        self.receiver.wait_for(tagged.id, 2)
        self.finished(task)
        self.assertEqual(self.receiver.count(other.id), 1)

    def test_resend_delivers_once_more(self):
        message = self.publish()
        self.receiver.wait_for(message.id)
        self.status(message.id, SUCCESS)
        self.svix.message_attempt.resend(self.app, message.id, self.endpoint)
        delivered = self.receiver.wait_for(message.id, 2)
        self.assertEqual(delivered[0].body, delivered[1].body)

        def triggers():
            attempts = self.svix.message_attempt.list_by_msg(self.app, message.id).data
            return sorted(attempt.trigger_type for attempt in attempts)

        kinds = models.MessageAttemptTriggerType
        eventually(lambda: triggers() == [kinds.SCHEDULED, kinds.MANUAL], "the manual attempt")

    def test_recover_sends_what_failed(self):
        since = datetime.now(timezone.utc) - timedelta(seconds=1)
        self.receiver.status = 500
        message = self.publish()
        self.receiver.wait_for(message.id, ATTEMPTS)
        self.status(message.id, FAIL)
        self.receiver.status = 200
        task = self.svix.endpoint.recover(self.app, self.endpoint, models.RecoverIn(since=since))
        delivered = self.receiver.wait_for(message.id, ATTEMPTS + 1)
        Webhook(self.secret()).verify(delivered[-1].body, delivered[-1].headers)
        self.status(message.id, SUCCESS)
        self.finished(task)


class Problems(Journey):
    def test_an_unknown_application_is_not_found(self):
        with self.assertRaises(HttpError) as refused:
            self.svix.application.get("nobody")
        self.assertEqual(refused.exception.status_code, 404)
        self.assertTrue(refused.exception.code)
        self.assertIsInstance(refused.exception.detail, str)

    def test_a_private_address_is_refused(self):
        with self.assertRaises(HTTPValidationError) as refused:
            self.svix.endpoint.create(self.app, models.EndpointIn(url="http://10.0.0.1/hook"))
        self.assertEqual(refused.exception.status_code, 422)
        self.assertEqual(refused.exception.detail[0].loc, ["body", "url"])

    def test_a_wrong_token_is_refused(self):
        stranger = sdk.Svix("not-the-token", sdk.SvixOptions(server_url=URL))
        self.addCleanup(stranger._httpx_client.close)
        with self.assertRaises(HttpError) as refused:
            stranger.application.list()
        self.assertEqual(refused.exception.status_code, 401)


class RandomBodies(Journey):
    def test_arrive_byte_for_byte_and_verify(self):
        source = random.Random(SEED)
        webhook = Webhook(self.secret())
        published = {}
        for start in range(0, RANDOM_BODIES, BATCH):
            batch = self.publish_all([bodies.document(source) for _ in range(BATCH)])
            published |= batch
            with self.subTest(seed=SEED, start=start):
                for delivered in self.receiver.wait_for_all(batch):
                    webhook.verify(delivered.body, delivered.headers)
                    self.assertEqual(delivered.body, published[delivered.message_id])

    def publish_all(self, texts):
        """Publishes the texts as they are; the published bytes by message id."""
        messages = ",".join(f'{{"eventType":"{EVENT_TYPE}","payload":{text}}}' for text in texts)
        answer = httpx.post(
            f"{URL}/api/v1/app/{self.app}/msg/batch",
            content=f'{{"messages":[{messages}]}}'.encode(),
            headers={"authorization": f"Bearer {TOKEN}", "content-type": "application/json"},
            timeout=60,
        )
        self.assertEqual(answer.status_code, 202, answer.text[:500])
        answers = answer.json()["data"]
        self.assertEqual([one["status"] for one in answers], [202] * len(texts))
        return {one["message"]["id"]: text.encode() for one, text in zip(answers, texts, strict=True)}


def main():
    """Runs all; writes how many passed and failed to the file that is given, in the words of TAP."""
    print(f"python: random bodies from DOORBELL_TEST_SEED={SEED}", file=sys.stderr)
    program = unittest.main(argv=sys.argv[:1], exit=False, verbosity=2)
    result = program.result
    failed = len({str(getattr(test, "test_case", test)) for test, _ in result.failures + result.errors})
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w", encoding="utf-8") as tally:
            tally.write(f"# pass {result.testsRun - failed}\n# fail {failed}\n")
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
