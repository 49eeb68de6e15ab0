"""LatentSync Dub: ComfyUI nodes that make an actor's mouth follow a new voice."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """What ComfyUI asks a pack for; nothing is imported before it does."""
    from .nodes import LatentSyncDub

    return LatentSyncDub()


__all__ = ["WEB_DIRECTORY", "comfy_entrypoint"]
