"""The faults of a campaign: each breaks one thing of the world for some seconds and lets it be whole again.

It must not know what the campaign checks.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

import psutil
import psycopg

from tests.campaign.world import RealMachine, World
from tests.support.pacman import pacman_pid
from tests.support.server import Server
from tests.support.wait import until

Fault = Callable[[World, RealMachine, random.Random], None]


def _pause(dice: random.Random) -> None:
    time.sleep(dice.uniform(0.2, 4))


def _workers(instance: Server) -> list[psutil.Process]:
    assert instance.process is not None
    try:
        return psutil.Process(instance.process.pid).children()
    except psutil.NoSuchProcess:
        return []


def kill_worker(world: World, _: RealMachine, dice: random.Random) -> None:
    for worker in _workers(dice.choice(world.instances))[:1]:
        worker.kill()


def freeze_worker(world: World, _: RealMachine, dice: random.Random) -> None:
    for worker in _workers(dice.choice(world.instances))[:1]:
        worker.suspend()
        _pause(dice)
        worker.resume()


def kill_master(world: World, _: RealMachine, dice: random.Random) -> None:
    instance = dice.choice(world.instances)
    if instance.process and instance.process.poll() is None:
        instance.process.kill()


def kill_instance(world: World, _: RealMachine, dice: random.Random) -> None:
    dice.choice(world.instances).kill()


def kill_both_instances(world: World, _: RealMachine, dice: random.Random) -> None:
    for instance in world.instances:
        instance.kill()


def stop_instance(world: World, _: RealMachine, dice: random.Random) -> None:
    instance = dice.choice(world.instances)
    if instance.process and instance.process.poll() is None:
        instance.process.terminate()


def stop_process_group(world: World, _: RealMachine, dice: random.Random) -> None:
    instance = dice.choice(world.instances)
    if instance.process and instance.process.poll() is None:
        os.killpg(instance.process.pid, signal.SIGTERM)


def reload_instance(world: World, _: RealMachine, dice: random.Random) -> None:
    instance = dice.choice(world.instances)
    if instance.process and instance.process.poll() is None:
        instance.process.send_signal(signal.SIGHUP)
        _pause(dice)


def freeze_instance(world: World, _: RealMachine, dice: random.Random) -> None:
    instance = dice.choice(world.instances)
    if instance.process and instance.process.poll() is None:
        os.killpg(instance.process.pid, signal.SIGSTOP)
        _pause(dice)
        os.killpg(instance.process.pid, signal.SIGCONT)


def restart_postgresql(world: World, _: RealMachine, dice: random.Random) -> None:
    world.postgres.stop()
    _pause(dice)
    world.postgres.start()


def freeze_postgresql(world: World, _: RealMachine, dice: random.Random) -> None:
    world.postgres.freeze()
    _pause(dice)
    world.postgres.thaw()


def cut_connections(world: World, _: RealMachine, dice: random.Random) -> None:
    """Every session of the database is ended, some times in a row."""
    others = "FROM pg_stat_activity WHERE datname = 'campaign' AND pid <> pg_backend_pid()"
    for _ in range(dice.randint(1, 4)):
        with contextlib.suppress(psycopg.OperationalError):  # another fault has the database down
            _execute(world, f"SELECT pg_terminate_backend(pid) {others}")
        time.sleep(dice.uniform(0, 0.5))


def read_only_database(world: World, _: RealMachine, dice: random.Random) -> None:
    """New and current sessions may only read, as on a primary that was fenced."""
    with contextlib.suppress(psycopg.OperationalError):
        _execute(world, "ALTER SYSTEM SET default_transaction_read_only = on", "SELECT pg_reload_conf()")
    _pause(dice)
    until(lambda: _is_done(world, "ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"))


def _execute(world: World, *statements: str) -> None:
    with world.postgres.connect() as connection:
        for statement in statements:
            connection.execute(statement)


def _is_done(world: World, *statements: str) -> bool:
    try:
        _execute(world, *statements)
    except psycopg.OperationalError:
        return False
    return True


def kill_haproxy(world: World, _: RealMachine, dice: random.Random) -> None:
    world.proxy.send(signal.SIGKILL)


def freeze_haproxy(world: World, _: RealMachine, dice: random.Random) -> None:
    world.proxy.send(signal.SIGSTOP)
    _pause(dice)
    world.proxy.send(signal.SIGCONT)


def kill_agent(_: World, real: RealMachine, dice: random.Random) -> None:
    time.sleep(dice.uniform(0, 1))
    _kill(real)


def _kill(real: RealMachine) -> None:
    if real.process and real.process.poll() is None:
        real.process.kill()


def kill_agent_and_pacman(_: World, real: RealMachine, dice: random.Random) -> None:
    """At a random moment: the agent, and the pacman that it runs if there is one."""
    time.sleep(dice.uniform(0, 1))
    pid = pacman_pid(real.machine)
    _kill(real)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        kill_worker,
        freeze_worker,
        kill_master,
        kill_instance,
        kill_both_instances,
        stop_instance,
        stop_process_group,
        reload_instance,
        freeze_instance,
        restart_postgresql,
        freeze_postgresql,
        cut_connections,
        read_only_database,
        kill_haproxy,
        freeze_haproxy,
        kill_agent,
        kill_agent_and_pacman,
    )
}
