"""The commands of docs/operations/maintenance.md for backups, word by word, in containers."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.deploy.engine import BASE, ROOT, Stack, docker, environment, eventually, fetch, run, stack
from tests.deploy.scaled import SERVER
from tests.deploy.test_compose import clone

pytestmark = pytest.mark.timeout(600)


def blocks(section: str) -> list[str]:
    """The commands in a section of maintenance.md, block by block."""
    text = (ROOT / "docs" / "operations" / "maintenance.md").read_text()
    (body,) = re.findall(rf"^##+ {section}$(.*?)(?=^##|\Z)", text, re.DOTALL | re.MULTILINE)
    return [block.strip() for block in re.findall(r"^```$\n(.*?)^```$", body, re.DOTALL | re.MULTILINE)]


@pytest.mark.long
def test_backup_is_restored_by_the_documented_commands_into_an_empty_stack(image: str, tmp_path: Path) -> None:
    """First with the service `backup` in the same volume; then, from the file, in a stack that is new."""
    once, every_day, show, again, new = (b for b in blocks("Back up and restore") if b.startswith("docker-compose"))
    folder = clone(tmp_path / "clone")
    settings = {"SHUTDOWN_DRAIN_DELAY": 0}
    with stack(*BASE, **settings) as project, stack(*BASE, **settings) as other:

        def execute(commands: str, where: Stack) -> str:
            shutil.copy(where.env_file, folder / ".env")
            done = run("bash", "-ec", commands, cwd=folder, env=environment() | {"COMPOSE_PROJECT_NAME": where.name})
            return done.stdout + done.stderr

        def pool(where: Stack, method: str, path: str, name: str) -> int:
            body = json.dumps({"name": name}).encode() if method == "POST" else None
            return fetch(where.port, f"/api/v1/pools{path}", method=method, headers=headers, body=body)[0]

        execute("docker-compose up -d --no-build", project)
        project.ready()
        (server,) = project.containers(SERVER)
        token = docker("exec", server, "python", "manage.py", "create_api_token", "kept", "--role", "operator")
        headers = {"Authorization": f"Bearer {token.split()[-1]}", "Content-Type": "application/json"}
        assert pool(project, "POST", "", "before") == 201
        execute(once, project)
        assert pool(project, "POST", "", "after") == 201
        execute(again, project)
        project.ready()
        assert [pool(project, "GET", path, "") for path in ("/before", "/after")] == [200, 404]

        execute(every_day, project)
        (service,) = project.containers("backup")
        check = ("docker", "exec", service, "/usr/local/lib/pacsync/backup.sh", "check")
        eventually(lambda: run(*check, check=False).returncode == 0, within=60, what="the service has a backup")
        execute(show, project)
        project.compose("stop", "-t", "1")
        execute(new, other)
        other.ready()
        assert [pool(other, "GET", path, "") for path in ("/before", "/after")] == [200, 404]
