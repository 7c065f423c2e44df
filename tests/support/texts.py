"""The canonical texts that machines upload, made of short descriptions. It must not know Django."""


def state_text(*packages: str) -> bytes:
    """The canonical text of `name version` or `name version reason` entries."""
    lines = []
    for package in packages:
        name, version, *reason = package.split()
        lines.append(f"{name} {version} x86_64 {reason[0] if reason else 'explicit'}")
    return "".join(line + "\n" for line in sorted(lines)).encode()


def repository_text(*packages: str) -> bytes:
    """The canonical text of a repository with these `name version` entries."""
    lines = []
    for package in packages:
        name, version = package.split()[:2]
        lines.append(f"{name} {version} x86_64 {name}-{version}-x86_64.pkg.tar.zst {'a' * 64} 1000")
    return "".join(line + "\n" for line in sorted(lines)).encode()
