import asyncio
async def worker(n, queue):
    await asyncio.sleep(0.001 * n)
    await queue.put(n * n)
    return n
async def main():
    queue = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(worker(n, queue)) for n in range(4)]
    print([t.result() for t in tasks], sorted(queue.get_nowait() for _ in range(4)))
    try:
        async with asyncio.timeout(0.005):
            await asyncio.Event().wait()
    except TimeoutError:
        print("timeout")
    print(await asyncio.to_thread(sum, [1, 2, 3]))
asyncio.run(main())
