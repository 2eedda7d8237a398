"""A database some milliseconds away: a TCP proxy on 127.0.0.1 that holds back what the server says."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import machine


async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on each piece after the delay, in order, and then the end of the stream."""
    later = asyncio.get_running_loop().call_later
    try:
        while data := await reader.read(2**16):
            later(seconds, writer.write, data)
    except ConnectionError:
        pass
    later(seconds, writer.close)


async def serve(listen: int, target: int, seconds: float) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(forward(reader, back, 0), forward(there, writer, seconds))

    await (await asyncio.start_server(accept, "127.0.0.1", listen)).serve_forever()


@contextmanager
def distant(target: int, milliseconds: float) -> Iterator[int]:
    """The port of a proxy to the target, in a thread that ends with this process."""
    port = machine.free_port()

    def work() -> None:
        machine.pin_to(machine.LOAD_CORE)()
        asyncio.run(serve(port, target, milliseconds / 1000))

    threading.Thread(target=work, daemon=True).start()
    yield port
