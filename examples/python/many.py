"""Many cells at once, with asyncio; one of them is cancelled while it runs."""

import asyncio

import pyisolate as iso
from pyisolate import aio


async def square(n):
    async with aio.spawn() as cell:
        await cell.exec("def square(n): return n * n")
        return await cell.call("square", n)


async def main():
    print(sum(await asyncio.gather(*(square(n) for n in range(16)))))
    async with aio.spawn() as cell:
        task = asyncio.create_task(cell.exec("log('info', 'running')\nwhile True: pass"))
        async for _ in cell.logs(follow=True):
            break  # it runs
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        print("cancelled:", task.cancelled())
    async with aio.spawn() as cell:
        try:
            await cell.recv(timeout="50ms")
        except iso.Timeout:
            print("nothing was posted")


asyncio.run(main())

# Output:
# 1240
# cancelled: True
# nothing was posted
