"""Work on hostile octets in another process: the protocol that adapters fulfil and the pipeline uses.

Must not know processes. What runs there is a `Task` that was named before the first mail came; request, questions, answers and result are
octets, so that nothing but octets passes between the two sides (`model.plain` makes values of them, strictly).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

Ask = Callable[[bytes], bytes]
"""On the inner side: ask the outer side something and wait for the answer."""

Task = Callable[[bytes, tuple[bytes, ...], Ask], bytes]
"""On the inner side: request, large octets, `Ask` → result. May raise; then `Sandbox.run` raises SandboxError."""

Tasks = Mapping[str, Task]

Answer = Callable[[bytes], Awaitable[bytes]]
"""On the outer side: answers one question of a task. The question is hostile; ValueError for one that makes no sense."""


class Sandbox(Protocol):
    """Runs tasks where they can do no harm and can be ended."""

    async def run(self, task: str, request: bytes, octets: Sequence[bytes] = (), *, seconds: float, answer: Answer) -> bytes:
        """The result of a task, which is hostile: whoever wrote the octets may have written it.

        `seconds` is the time from its start; waiting for a free place before it does not count. Raises SandboxError when there is no
        result. Cancellation ends the task.
        """
        ...
