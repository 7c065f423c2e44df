"""One call of a command: its arguments, the machine that they name, and where its output goes.

It must not know what the commands do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .. import context as contexts
from .. import settings
from ..context import Context
from ..pacman import configuration, kept_configuration
from ..protection import permission
from ..system.signals import Signals
from ..terminal.output import Output
from ..transaction import preconditions

INTERACTIVE_PATIENCE = 20  # seconds that a person waits for a server that doesn't answer


class Call:
    """`needs_root`: only root may run the command with these arguments."""

    def __init__(
        self, arguments: argparse.Namespace, output: Output, signals: Signals, *, needs_root: bool = False
    ) -> None:
        self.arguments = arguments
        self.output = output
        self.signals = signals
        self.needs_root = needs_root
        given = {key: getattr(arguments, key, None) for key in settings.KEYS}
        self.options = settings.load_options(given, getattr(arguments, "agent_config", None))
        self.conf = self.read_conf()
        if settings.names_machine(given) and not getattr(arguments, "agent_config", None):
            self.options = settings.of_machine(self.options, self.conf.root)
            output.hints.agent_config = str(settings.config_of_machine(self.conf.root))

    def read_conf(self) -> configuration.PacmanConf:
        """pacman's configuration as it is now. Raises Local."""
        options = self.options
        return kept_configuration.read(options.config, options.root, options.dbpath, options.state_dir)

    @property
    def state_dir(self) -> Path:
        return settings.state_dir(self.options, self.conf)

    def context(self, patience: float = INTERACTIVE_PATIENCE) -> Context:
        """What the command works with. Raises NotAuthorized, Local (`not_root` where only root may run it)."""
        waybar = getattr(self.arguments, "waybar", False)  # it takes one JSON object, and no warning next to it
        for word in permission.unknown_words(self.options.protect, self.conf) if not waybar else ():
            self.output.warn(f"protect has {word}, which is neither a role nor a package that is installed here.")
        context = contexts.make_context(self.options, self.conf, self.output, self.signals, patience)
        if self.needs_root:
            preconditions.check_root()
        return context
