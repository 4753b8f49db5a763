"""How much is generated: `--hypothesis-profile=quick` for the repeated passes over the core, else the full amount."""

import pytest
from hypothesis import settings

# No deadline: the first example of a kernel may compile it, and a shared machine may pause any example.
settings.register_profile("house", deadline=None, print_blob=True)
settings.register_profile("quick", settings.get_profile("house"), max_examples=20)
settings.load_profile("house")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests over the files of other people's samples where those are not beside the project.

    Their parameters are the files found; without any, pytest would report a skipped test, and none is skipped here.
    """
    without_files = [item for item in items if item.name.endswith("[NOTSET]")]
    config.hook.pytest_deselected(items=without_files)
    items[:] = [item for item in items if item not in without_files]
