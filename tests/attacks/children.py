"""Processes to be killed: a fork server has everything imported already, so that a start costs milliseconds."""

import multiprocessing
import os
from multiprocessing.context import ForkServerContext
from pathlib import Path

TESTS = Path(__file__).parents[1]


def fork_server(*preload: str) -> ForkServerContext:
    """A context whose children have `preload` imported."""
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["device.web.server", "appliance", *preload])
    return context
