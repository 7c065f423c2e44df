"""A program that gunicorn doesn't manage: it sets up graceful shutdown, does tracked work, and is sent signals."""

import asyncio
import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pacsync.settings")
django.setup()

from apps.lifecycle.shutdown import setup_graceful_shutdown  # noqa: E402

handler = setup_graceful_shutdown(shutdown_timeout=float(sys.argv[2]))
handler.register_cleanup_task(lambda: print("cleaned", flush=True))


async def work(seconds: float) -> None:
    async with handler.operation_context("sync_operation"):
        print("working", flush=True)
        await asyncio.sleep(seconds)
        print("worked", flush=True)


asyncio.run(work(float(sys.argv[1])))
while not handler.requested.wait(0 if "spins" in sys.argv else 0.05):
    pass
if len(sys.argv) > 3:  # a main loop that ends by itself
    handler.shutdown()
    sys.exit(7)
time.sleep(60)
