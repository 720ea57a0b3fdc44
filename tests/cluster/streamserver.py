"""Runs in a pod, for the tests of streams: HTTP on 8000, and on 9000 whatever the first line asks for."""

import asyncio
import hashlib

from aiohttp import WSMsgType, web


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """`echo`; `late`: reads to the end, answers 2 s later; `stall`: never reads; `source N`: N bytes, then closes."""
    word, *rest = (await reader.readline()).decode().split()
    if word == "echo":
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    elif word == "late":
        first = await reader.readline()
        await asyncio.sleep(2)
        writer.write(b"got " + first)
    elif word == "source":
        left = int(rest[0])
        while left:
            block = min(left, 65536)
            writer.write(b"x" * block)
            await writer.drain()
            left -= block
    elif word == "stall":
        await asyncio.sleep(3600)
    await writer.drain()
    writer.close()


async def upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for block in request.content.iter_chunked(1 << 20):
        digest.update(block)
    return web.Response(text=digest.hexdigest())


async def peer(request: web.Request) -> web.Response:
    """The client's port as the pod sees it: the same for requests on one connection."""
    return web.Response(text=str(request.transport.get_extra_info("peername")[1]))


async def chunks(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for number in range(1000):
        await answer.write(b"%d\n" % number)
    return answer


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def main() -> None:
    app = web.Application(client_max_size=1 << 30)
    app.add_routes(
        [web.put("/", upload), web.get("/peer", peer), web.get("/chunks", chunks), web.get("/ws", echo)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, port=8000).start()
    server = await asyncio.start_server(talk, port=9000)
    print("serving", flush=True)
    await server.serve_forever()


asyncio.run(main())
