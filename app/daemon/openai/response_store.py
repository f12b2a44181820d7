"""Responses that clients come back to by their ids: the latest ones, in memory."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from app.daemon.encoder import Json, compact
from models.errors import InvalidInput, NotFound

MAX_RESPONSES = 1000
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class StoredResponse:
    """A finished response and the whole conversation that led to it, as input items."""

    client: str
    body: Json
    items: Sequence[Json]
    num_own_items: int
    """So many of the last `items` before the output came with this very request."""

    @property
    def input_items(self) -> Sequence[Json]:
        """What this request itself brought."""
        end = len(self.items) - len(self.body["output"])
        return self.items[end - self.num_own_items : end]


class ResponseStore:
    """The oldest ones are forgotten first. A client finds only its own."""

    def __init__(self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._kept: OrderedDict[str, tuple[StoredResponse, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, response: StoredResponse) -> None:
        """Keep a response; one too large for the store is not."""
        size_bytes = len(compact([response.body, response.items]))
        self._kept[response.body["id"]] = (response, size_bytes)
        self._num_bytes += size_bytes
        while len(self._kept) > self._max_responses or self._num_bytes > self._max_bytes:
            _, (_, freed_bytes) = self._kept.popitem(last=False)
            self._num_bytes -= freed_bytes

    def get(self, response_id: str, client: str) -> StoredResponse:
        """A response of this client's.

        Raises:
            NotFound: it never was, was not stored, or is forgotten.
        """
        found = self._kept.get(response_id)
        if found is None or found[0].client != client:
            raise NotFound(f"Response with id '{response_id}' not found.")
        return found[0]

    def previous_items(self, response_id: str, client: str) -> Sequence[Json]:
        """The conversation behind which another request goes on.

        Raises:
            InvalidInput: it is not here, in OpenAI's words.
        """
        try:
            return self.get(response_id, client).items
        except NotFound as error:
            raise InvalidInput(
                f"Previous response with id '{response_id}' not found.",
                hint="responses are kept in memory, the latest ones only: send the whole input",
            ) from error

    def delete(self, response_id: str, client: str) -> None:
        """Forget a response.

        Raises:
            NotFound: it is not here.
        """
        self.get(response_id, client)
        _, freed_bytes = self._kept.pop(response_id)
        self._num_bytes -= freed_bytes
