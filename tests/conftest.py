"""How much is generated: `--hypothesis-profile=quick` for the repeated passes over the core, else the full amount."""

from hypothesis import settings

# No deadline: the first example of a kernel may compile it, and a shared machine may pause any example.
settings.register_profile("house", deadline=None, print_blob=True)
settings.register_profile("quick", settings.get_profile("house"), max_examples=20)
settings.load_profile("house")
