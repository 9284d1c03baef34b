"""What every test stands on: a client, an application of its own, and an endpoint that records."""

import os
import unittest
import uuid

import svix.api as sdk
from svix import models

from receiver import Receiver, eventually

URL = os.environ["DOORBELL_TEST_URL"]
TOKEN = os.environ["DOORBELL_TEST_TOKEN"]

EVENT_TYPE = "contact.created"
ATTEMPTS = 3
FAIL, SUCCESS = models.MessageStatus.FAIL, models.MessageStatus.SUCCESS


class Journey(unittest.TestCase):
    """An application with one endpoint, which is the receiver."""

    @classmethod
    def setUpClass(cls):
        cls.svix = sdk.Svix(TOKEN, sdk.SvixOptions(server_url=URL))
        cls.addClassCleanup(cls.svix._httpx_client.close)

    def setUp(self):
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)
        self.uid = f"customer-{uuid.uuid4()}"
        self.app = self.svix.application.create(models.ApplicationIn(name="Customer", uid=self.uid)).id
        self.endpoint = self.svix.endpoint.create(self.app, models.EndpointIn(url=self.receiver.url())).id

    def publish(self, payload=None, idempotency_key=None, **fields):
        message = models.MessageIn(event_type=EVENT_TYPE, payload=payload or {"n": 1}, **fields)
        options = sdk.MessageCreateOptions(idempotency_key=idempotency_key)
        return self.svix.message.create(self.app, message, options)

    def secret(self):
        return self.svix.endpoint.get_secret(self.app, self.endpoint).key

    def status(self, message_id, wanted):
        """Waits until the message has this status at the endpoint."""

        def look():
            page = self.svix.message_attempt.list_attempted_messages(self.app, self.endpoint)
            return any(m.id == message_id and m.status == wanted for m in page.data)

        eventually(look, f"status {wanted.name} of {message_id}")

    def finished(self, task):
        """Waits until a background task is over."""
        finished = models.BackgroundTaskStatus.FINISHED
        eventually(lambda: self.svix.background_task.get(task.id).status == finished, f"the end of {task.id}")
