"""A custom_nodes folder for test servers: values that other packs send and core's nodes don't, and looks inside."""

from .awkward_values import *  # noqa: F403
from .inside_views import *  # noqa: F403
from .long_clips import *  # noqa: F403
from .made_nodes import NODE_CLASS_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS"]
