import asyncio
async def reach():
    for f in (lambda: asyncio.open_connection("127.0.0.1", TCP), lambda: asyncio.open_unix_connection(UNIX),
              lambda: asyncio.get_running_loop().create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=("127.0.0.1", UDP)),
              lambda: asyncio.create_subprocess_exec("/bin/touch", DIR + "/asyncio"), lambda: asyncio.start_server(print, "127.0.0.1", 0)):
        try: await asyncio.wait_for(f(), 1)
        except Exception as error: log("attempt", str(error))
asyncio.run(reach())
